"""Right use of the public API: mypy --strict must accept every line. Never executed."""

from __future__ import annotations

from typing import assert_type

from sqlalchemy import Connection

from eventbus import Batch, Bus, Context, Event, Reject, Retry, RetryLater, Service
from eventbus.sql import Database, Inbox, SqlContext


class Placed(Event, topic="placed", version=2, name="OrderPlaced"):
    number: int


class Shipped(Event, topic="shipped"):
    number: int


service = Service("shop")


@service.on(Placed, retry=Retry(attempts=3, reject=(KeyError,)), concurrency=8, timeout=5.0)
def ship(event: Placed, context: Context) -> Shipped | None:
    if context.attempt > 2:
        raise Reject("too often")
    if event.number < 0:
        raise RetryLater(after=5.0)
    context.publish(Shipped(number=1), delay=3.0)
    return Shipped(number=event.number)


@service.on(Placed)
def note(event: Placed) -> None: ...


@service.on(Placed, batch=Batch(size=10))
def many(events: list[Placed]) -> list[Shipped]:
    return [Shipped(number=event.number) for event in events]


@service.on(Placed, batch=Batch())
def many_with_contexts(events: list[Placed], contexts: list[Context]) -> None: ...


class Shop:
    def take(self, event: Placed) -> tuple[Event, ...]:
        return ()


service.on(Placed)(Shop().take)


def use(context: Context) -> None:
    assert_type(ship(Placed(number=1), context), Shipped | None)
    assert_type(note(Placed(number=1)), None)
    assert_type(many([Placed(number=1)]), list[Shipped])
    with Bus("memory://") as bus:
        bus.start(service)
        assert_type(bus.publish(Placed(number=1), expires_in=3.0), str)
        assert_type(bus.publish_all([Placed(number=1), Shipped(number=2)]), list[str])


inbox = Inbox(Database("sqlite://"))


@service.on(Shipped, inbox=inbox)
def in_transaction(event: Shipped, context: SqlContext) -> None:
    assert_type(context.connection, Connection)
    assert_type(context.publish(Placed(number=1)), str)


@service.on(Placed, inbox=inbox, batch=Batch())
def many_in_transaction(events: list[Placed], contexts: list[SqlContext]) -> None: ...
