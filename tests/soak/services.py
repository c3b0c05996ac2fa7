"""Services of the soak, each a process of its own: `python -m tests.soak.services ROLE`.

What they need lies in the environment: EVENTBUS_URL, SOAK_FOLDER, and the databases SOAK_ORDERS, SOAK_FULFILLMENT and
SOAK_BILLING. Files in the folder change what they do while they run: `fail`, `slow`, `block`, `burst`, `enough`, `mended`.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import logging  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

_skew = float(os.environ.get("SOAK_SKEW", "0"))
if _skew:  # a machine whose clock is wrong; before anything takes time.time for its own
    _real = time.time
    time.time = lambda: _real() + _skew

from pathlib import Path  # noqa: E402
from uuid import uuid4  # noqa: E402

import gevent  # noqa: E402
import sqlalchemy as sa  # noqa: E402
from sqlalchemy import Connection  # noqa: E402

from eventbus import Bus, Event, Reject, Retry, Service  # noqa: E402
from eventbus.sql import Database, Inbox, Outbox, Receipts, SqlContext  # noqa: E402
from tests.soak.tables import accepted, content_of, effects, is_poison  # noqa: E402

FOLDER = Path(os.environ.get("SOAK_FOLDER", "."))
RATE = float(os.environ.get("SOAK_RATE", "5"))
SLOW = 12.0
"""Seconds that some handlers take; longer than the message timeout of the run."""


class Placed(Event, topic="soak_placed"):
    key: str
    content: str


class PlacedWithNote(Event, topic="soak_placed", name="Placed"):
    """What a release with one field more sends."""

    key: str
    content: str
    note: str = "one field more"


class Shipped(Event, topic="soak_shipped"):
    key: str
    content: str


class RolledBackError(Exception):
    pass


def orders() -> None:
    """Place orders, and write down which were committed, rolled back on purpose, or neither for sure."""
    database = Database(os.environ["SOAK_ORDERS"])
    outbox = Outbox(database, source="orders", receipts=Receipts())
    event_type = PlacedWithNote if os.environ.get("SOAK_NOTE") else Placed
    with (FOLDER / f"orders-{os.getpid()}.ledger").open("a", buffering=1) as ledger:

        def place(key: str, *, takes_back: bool) -> None:
            def work(connection: Connection) -> None:
                connection.execute(sa.insert(accepted).values(key=key))
                outbox.add(connection, event_type(key=key, content=content_of(key)))
                if takes_back:
                    raise RolledBackError

            ledger.write(f"{'undo' if takes_back else 'try'} {key}\n")
            try:
                database.transact(work)
            except RolledBackError:
                return
            except Exception as error:  # away, or it cannot be known
                logging.warning("order %s: %s", key, type(error).__name__)
                gevent.sleep(0.5)
                return
            ledger.write(f"done {key}\n")

        def place_all() -> None:
            while not (FOLDER / "enough").exists():
                key = uuid4().hex
                place(key, takes_back=key.startswith("ff"))
                gevent.sleep((0.1 if (FOLDER / "burst").exists() else 1.0) / RATE)

        service = Service("orders")
        service.attach(outbox)
        with Bus(source="orders") as bus:
            gevent.spawn_later(0.5, place_all)
            bus.run(service, grace=5.0)


def _effect(context: SqlContext, event: Placed | Shipped, who: str) -> None:
    context.connection.execute(sa.insert(effects).values(key=event.key, who=who, content=event.content))
    if (FOLDER / "fail").exists():
        raise ConnectionError("whatever this handler speaks to is away")
    if (FOLDER / "slow").exists():
        (FOLDER / "slow").unlink(missing_ok=True)  # one is enough
        gevent.sleep(SLOW)
    if event.key.startswith("02") and context.attempt == 1:
        raise ConnectionError("a moment's failure")
    if (FOLDER / "block").exists():
        (FOLDER / "block").unlink(missing_ok=True)
        until = time.monotonic() + 5.0
        while time.monotonic() < until:  # blocks the hub, and its thread
            pass


RETRY = Retry(attempts=1000, first=0.2, ceiling=5.0)


def fulfillment() -> None:
    database = Database(os.environ["SOAK_FULFILLMENT"])
    inbox = Inbox(database, outbox=Outbox(database, source="fulfillment"))
    service = Service("fulfillment")

    @service.on(Placed, inbox=inbox, retry=RETRY)
    def ship(event: Placed, context: SqlContext) -> Shipped:
        _effect(context, event, "ship")
        if is_poison(event.key) and not (FOLDER / "mended").exists():
            raise Reject("nothing here can ship that yet")
        return Shipped(key=event.key, content=event.content)

    with Bus(source="fulfillment") as bus:
        bus.run(service, grace=5.0)


def billing() -> None:
    database = Database(os.environ["SOAK_BILLING"])
    inbox = Inbox(database)
    service = Service("billing")

    @service.on(Placed, inbox=inbox, retry=RETRY)
    def note_order(event: Placed, context: SqlContext) -> None:
        _effect(context, event, "order")

    @service.on(Shipped, inbox=inbox, retry=RETRY)
    def bill(event: Shipped, context: SqlContext) -> None:
        _effect(context, event, "bill")

    with Bus(source="billing") as bus:
        bus.run(service, grace=5.0)


ROLES = {"orders": orders, "fulfillment": fulfillment, "billing": billing}

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    ROLES[sys.argv[1]]()
