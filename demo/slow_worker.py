"""A worker of fulfillment that holds what it did: `python -m demo.slow_worker`, with the settings of the service.

It says so and rests once an order is shipped, before the delivery is finished: the moment at which a death would double.
"""

from gevent import monkey

monkey.patch_all()  # before anything else is imported: psycopg decides at its import how it waits

import sys  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402

from eventbus import Bus, Context, Middleware  # noqa: E402
from services.fulfillment.app import NAME, build  # noqa: E402

_REST = 1.0
"""Seconds."""


class Rests(Middleware):
    """Waits after the handler."""

    def handle(self, event: Any, context: Context, call_next: Any) -> Any:
        result = call_next(event, context)
        sys.stdout.write("holds an order\n")
        sys.stdout.flush()
        gevent.sleep(_REST)
        return result


if __name__ == "__main__":
    Bus(source=NAME, middleware=[Rests()]).run(build(instance="fulfillment-killed").service)
