"""Run an email worker: `python -m services.email_confirmation`, settings from EMAIL_* and EVENTBUS_*."""

from gevent import monkey

monkey.patch_all()  # before anything else is imported: psycopg decides at its import how it waits

import logging  # noqa: E402
import socket  # noqa: E402

from eventbus import Bus  # noqa: E402
from services.email_confirmation.app import NAME, build  # noqa: E402

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    Bus(source=NAME).run(*build(instance=socket.gethostname()).services)
