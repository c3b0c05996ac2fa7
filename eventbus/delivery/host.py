"""Host: what delivering needs of the bus that it happens in. `eventbus.Bus` is one; nothing here knows more of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from eventbus.context import Publishes
from eventbus.dead_letters.bounds import MaxDead
from eventbus.delivery.quota import DeliveryQuota
from eventbus.engines.base import Engine
from eventbus.event import Event
from eventbus.middleware import Middleware
from eventbus.runtime.randomness import Randomness


class Host(Publishes, Protocol):
    """Where deliveries come from and where what handlers return goes.

    Attributes:
        message_timeout: seconds after which an unanswered delivery goes to another worker.
        max_in_flight: most deliveries held for each topic of a service, unless the service says otherwise.
        max_depth: most events that may have caused one another.
        publish_timeout: longest wait in seconds for a confirmation.
        max_dead: most dead letters of a channel.
        tracebacks: whether the log line of a failure carries its stack at every level.
        errors_in_full: whether the log tells the texts of errors.
        quota: how many deliveries may still be taken; None for any number.
    """

    engine: Engine
    middleware: tuple[Middleware, ...]
    message_timeout: float
    max_in_flight: int
    max_depth: int
    publish_timeout: float
    max_dead: MaxDead
    tracebacks: bool
    errors_in_full: bool
    quota: DeliveryQuota | None
    randomness: Randomness

    def publish_all(self, events: Iterable[Event]) -> list[str]:
        """Publish several events, confirmed; return their ids."""
        ...
