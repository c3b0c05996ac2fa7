"""Job: one decoded delivery on its way through a handler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from eventbus.context import Context
from eventbus.engines.base import Delivery
from eventbus.envelope import Envelope
from eventbus.event import Event
from eventbus.service import Service

if TYPE_CHECKING:
    from eventbus.bus import Bus


class Source(Protocol):
    """Where a job came from."""

    bus: Bus
    service: Service

    def make_context(self, envelope: Envelope, delivery: Delivery, attempt: int) -> Context:
        """Return the handler's view of a delivery."""
        ...


class Job:
    """One decoded delivery on its way through a handler; its Context is made when somebody asks."""

    __slots__ = ("_context", "attempt", "delivery", "envelope", "event", "source")

    def __init__(self, source: Source, delivery: Delivery, envelope: Envelope, event: Event, attempt: int) -> None:
        self.source = source
        self.delivery = delivery
        self.envelope = envelope
        self.event = event
        self.attempt = attempt
        self._context: Context | None = None

    @property
    def context(self) -> Context:
        if self._context is None:
            self._context = self.source.make_context(self.envelope, self.delivery, self.attempt)
        return self._context
