"""Wrong use of the public API: mypy --strict must reject every line marked so. Never executed."""

from __future__ import annotations

from eventbus import Batch, Bus, Context, Event, Service
from eventbus.sql import SqlContext


class Placed(Event, topic="placed"):
    number: int


class Shipped(Event, topic="shipped"):
    number: int


service = Service("shop")


@service.on(Placed)  # wrong: another event
def other_event(event: Shipped) -> None: ...


@service.on(Placed)  # wrong: no context
def other_context(event: Placed, context: int) -> None: ...


@service.on(Placed)  # wrong: returns no event
def no_event(event: Placed) -> int:
    return 1


@service.on(Placed, batch=Batch())  # wrong: one event where a list comes
def no_list(event: Placed) -> None: ...


@service.on(Placed)  # wrong: a list where one event comes
def a_list(events: list[Placed]) -> None: ...


@service.on(Placed)  # wrong: a connection where there is no inbox
def no_inbox(event: Placed, context: SqlContext) -> None: ...


def use(bus: Bus, context: Context) -> None:
    bus.publish("text")  # wrong: no event
    bus.publish(Placed(number=1), dealy=3.0)  # wrong: unknown option
    Placed()  # wrong: field is missing
    Placed(number=1).number = 2  # wrong: frozen
    service.on(int)  # wrong: no event class
