"""Roles of the outbox benchmark, patched as services are.

`python -m benchmarks.sql_roles ROLE DATABASE_URL [receipts] [BUS_URL]` prints events a second. The engine is
`memory://` unless given, so that what is measured is the database's work and ours.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402
import time  # noqa: E402

import gevent  # noqa: E402
from gevent.pool import Pool  # noqa: E402

from benchmarks.order import OrderPlaced, make_order  # noqa: E402
from eventbus import Bus, Service  # noqa: E402
from eventbus.sql import Database, Inbox, Outbox, Receipts, metadata  # noqa: E402

_EVENTS = 3000


def add(database: Database, outbox: Outbox, bus: Bus) -> float:
    """Transactions with one event each, from 16 greenlets."""
    bus.attach(outbox)
    orders = [make_order() for _ in range(_EVENTS)]
    pool = Pool(16)
    began = time.perf_counter()
    for order in orders:
        pool.spawn(database.transact, lambda connection, each=order: outbox.add(connection, each))
    pool.join(raise_error=True)
    return _EVENTS / (time.perf_counter() - began)


def add_alone(database: Database, _outbox: Outbox, _bus: Bus) -> float:
    """The same with an outbox that only adds, as in a program without a bus."""
    outbox = Outbox(source="bench", receipts=None)
    orders = [make_order() for _ in range(_EVENTS)]
    pool = Pool(16)
    began = time.perf_counter()
    for order in orders:
        pool.spawn(database.transact, lambda connection, each=order: outbox.add(connection, each))
    pool.join(raise_error=True)
    return _EVENTS / (time.perf_counter() - began)


def relay(database: Database, outbox: Outbox, bus: Bus) -> float:
    """Rows from one transaction to the broker."""
    bus.attach(outbox)
    orders = [make_order() for _ in range(_EVENTS)]
    database.transact(lambda connection: [outbox.add(connection, order) for order in orders])
    began = time.perf_counter()
    while outbox.backlog().waiting:
        gevent.sleep(0.005)
    return _EVENTS / (time.perf_counter() - began)


def whole(database: Database, outbox: Outbox, bus: Bus) -> float:
    """From a committed row to a handled event whose effect is claimed, and settled where receipts are on."""
    handled = 0
    service = Service("subscriber")

    @service.on(OrderPlaced, inbox=Inbox(database), concurrency=16)
    def handle(order: OrderPlaced) -> None:
        nonlocal handled
        handled += 1

    bus.start(service)
    bus.attach(outbox)
    database.transact(lambda connection: outbox.add(connection, make_order()))
    gevent.sleep(1.0)
    orders = [make_order() for _ in range(_EVENTS)]
    began = time.perf_counter()
    database.transact(lambda connection: [outbox.add(connection, order) for order in orders])
    while handled <= _EVENTS or outbox.backlog().unsettled:
        gevent.sleep(0.01)
    return _EVENTS / (time.perf_counter() - began)


def main(role: str, url: str, receipts: bool, bus_url: str) -> None:
    database = Database(url, pool_size=20)
    database.create_tables(metadata)
    outbox = Outbox(database, receipts=Receipts() if receipts else None)
    with Bus(bus_url, source="bench") as bus:
        print(ROLES[role](database, outbox, bus))
    database.close()


ROLES = {"add": add, "add_alone": add_alone, "relay": relay, "whole": whole}

if __name__ == "__main__":
    main(
        sys.argv[1], sys.argv[2], "receipts" in sys.argv, next((each for each in sys.argv[3:] if "://" in each), "memory://")
    )
