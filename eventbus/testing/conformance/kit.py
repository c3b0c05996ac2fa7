"""What the tests of the suite share: new names, an event type on a new topic, a service that notes what it gets."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import Any
from uuid import uuid4

from eventbus import Bus, Context, Event, Service

_numbers = count(1)


def unique(prefix: str = "t") -> str:
    """Return a name that no other test uses."""
    return f"{prefix}{next(_numbers)}_{uuid4().hex[:6]}"


def numbered(topic: str | None = None, name: str = "Numbered") -> Any:
    """Return an event class with a number, on a new topic unless one is given."""

    class Numbered(Event, topic=topic or unique(), name=name):
        number: int
        text: str = ""

    return Numbered


class Seen:
    """Notes what a service handles: numbers, attempts and times."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.attempts: list[int] = []
        self.times: list[float] = []
        self.contexts: list[Context] = []

    def note(self, event: Any, context: Context) -> None:
        self.numbers.append(event.number)
        self.attempts.append(context.attempt)
        self.times.append(time.monotonic())
        self.contexts.append(context)

    def __len__(self) -> int:
        return len(self.numbers)


def listener(
    event_type: Any, seen: Seen, *, name: str | None = None, act: Callable[[Any, Context], Any] | None = None, **policy: Any
) -> Service:
    """Return a service that notes each event and then does `act`."""
    options = {key: policy.pop(key) for key in ("backoff", "max_in_flight", "unhandled") if key in policy}
    service = Service(name or unique("s"), **options)

    def handle(event: Any, context: Context) -> Any:
        seen.note(event, context)
        return act(event, context) if act is not None else None

    service.on(event_type, **policy)(handle)
    return service


def numbers_of(events: Any) -> list[int]:
    """Return the numbers of a batch."""
    return [event.number for event in events]


def publish_numbers(bus: Bus, event_type: Any, numbers: Any) -> None:
    """Publish one event for each number."""
    bus.publish_all([event_type(number=number) for number in numbers])
