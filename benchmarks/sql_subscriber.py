"""A service with an inbox: `python -m benchmarks.sql_subscriber NSQ_URL DATABASE_URL`.

Prints number and instant of what it handles.
"""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402
import time  # noqa: E402

from benchmarks.stamped import Stamped  # noqa: E402
from eventbus import Bus, Service  # noqa: E402
from eventbus.sql import Database, Inbox  # noqa: E402

service = Service("subscriber")


@service.on(Stamped, inbox=Inbox(Database(sys.argv[2])))
def handle(event: Stamped) -> None:
    print(event.number, time.time(), flush=True)


print("ready", flush=True)
Bus(sys.argv[1]).run(service)
