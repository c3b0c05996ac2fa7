"""Received: one event that came in, decoded and validated, on its way through a handler."""

from __future__ import annotations

from typing import Protocol

from eventbus.context import Context
from eventbus.delivery.host import Host
from eventbus.delivery.short_waits import ShortWaits
from eventbus.engines.base import Delivery
from eventbus.event import Event
from eventbus.service import Service
from eventbus.wire.envelope import Envelope


class Source(Protocol):
    """Where it came from: one topic of one service."""

    host: Host
    service: Service
    waits: ShortWaits

    def make_context(self, envelope: Envelope, delivery: Delivery, attempt: int) -> Context:
        """Return the handler's view of a delivery."""
        ...


class Received:
    """One event that came in; its Context is made when somebody asks."""

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
        """What the handler is given beside the event."""
        if self._context is None:
            self._context = self.source.make_context(self.envelope, self.delivery, self.attempt)
        return self._context
