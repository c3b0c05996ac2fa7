"""One service as a process, patched: `shop_worker.py orders|fulfillment BUS_URL ORDERS_DATABASE FULFILLMENT_DATABASE`."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import logging  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402
import sqlalchemy as sa  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from eventbus import Bus, Retry, Service  # noqa: E402
from eventbus.settings import BusSettings  # noqa: E402
from eventbus.sql import Database, Inbox, Outbox, Receipts, SqlContext  # noqa: E402
from eventbus.sql.tables import outbox as rows  # noqa: E402
from tests.sql.events import COUNT, Placed, Shipped, note  # noqa: E402
from tests.waiting import PATIENCE  # noqa: E402


def orders(bus: Bus, url: str) -> None:
    """Place the orders that are not there yet, slowly enough to be killed in the middle."""
    box = Outbox(
        Database(url, lock_timeout=PATIENCE), source="orders", receipts=Receipts(timeout=1.5, ceiling=3.0), poll=0.2
    )
    bus.attach(box)
    there = box.database.transact(lambda c: c.scalar(sa.select(sa.func.count()).select_from(rows)))
    for number in range(there or 0, COUNT):
        box.database.transact(lambda c, n=number: box.add(c, Placed(number=n)))  # type: ignore[misc]
        gevent.sleep(0.05)
    while True:
        gevent.sleep(1.0)


def fulfillment(bus: Bus, url: str) -> None:
    database = Database(url, lock_timeout=PATIENCE)
    inbox = Inbox(database, outbox=Outbox(database, source="fulfillment", receipts=None, poll=0.2), poll=0.2)
    service = Service("fulfillment")

    @service.on(Placed, inbox=inbox, retry=Retry(first=0.1, ceiling=0.5))
    def ship(event: Placed, context: SqlContext) -> Shipped:
        note(context.connection, event.number)
        return Shipped(number=event.number)

    bus.run(service)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    role, bus_url, orders_url, fulfillment_url = sys.argv[1:]
    time.sleep(0.1)
    with Bus(bus_url, source=role, settings=BusSettings(publish_timeout=1.0)) as the_bus:
        (orders if role == "orders" else fulfillment)(the_bus, orders_url if role == "orders" else fulfillment_url)
