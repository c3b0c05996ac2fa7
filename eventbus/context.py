"""Context: what a handler may know and do beside its event.

It also carries the cause: whatever is published while a handler runs, through its context or through any bus, takes over the
correlation id of the event being handled and names that event as its cause. The cause travels in a context variable, so
that greenlets of other deliveries do not see it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Protocol

from eventbus.engines.base import Delivery
from eventbus.errors import BusStateError
from eventbus.event import Event
from eventbus.wire.envelope import Envelope

current_cause: ContextVar[tuple[Envelope, str] | None] = ContextVar("eventbus_cause", default=None)
"""The envelope being handled and the name of the service that handles it."""


in_inbox: ContextVar[bool] = ContextVar("eventbus_in_inbox", default=False)
"""Whether a handler runs whose publications an inbox commits together with its effect."""


in_dry_run: ContextVar[bool] = ContextVar("eventbus_in_dry_run", default=False)
"""Whether a handler runs of which nothing may stay."""


def check_outside_inbox() -> None:
    """Return unless such a handler runs here.

    Raises:
        BusStateError: one does, and what it published by the bus would stay published if its effect is taken back.
    """
    if in_dry_run.get():
        raise BusStateError("bus.publish in a dry run: use context.publish, or return the event; see context.is_dry_run")
    if in_inbox.get():
        raise BusStateError(
            "bus.publish in a handler with an inbox: it would be published even if the effect is taken back; use "
            "context.publish, or return the event"
        )


class Publishes(Protocol):
    """What a context needs of the bus: that it publishes."""

    @property
    def publish(self) -> Callable[..., str]:
        """Publishes one event, confirmed, and returns its id; takes what `Bus.publish` takes."""
        ...


class Context:
    """One delivery as its handler sees it. Good while the handler runs."""

    __slots__ = (
        "_bus",
        "_delivery",
        "_envelope",
        "again",
        "attempt",
        "captured",
        "channel",
        "instance",
        "run",
        "service",
        "topic",
    )

    def __init__(
        self,
        envelope: Envelope,
        delivery: Delivery,
        bus: Publishes,
        *,
        service: str,
        instance: str,
        topic: str,
        channel: str,
        attempt: int,
    ) -> None:
        self._envelope = envelope
        self._delivery = delivery
        self._bus = bus
        self.service = service
        self.instance = instance
        self.topic = topic
        self.channel = channel
        self.attempt = attempt
        """1 at the first delivery."""
        self.captured: list[Event] | None = None
        """In a dry run: what was published through this context, and goes nowhere. None otherwise."""
        self.run: tuple[float, float] | None = None
        """In `Middleware.settled`: monotonic instants at which the handler's run began and ended; None where none ran."""
        self.again: float | None = None
        """In `Middleware.settled`: seconds after which the delivery comes again; None where it does not, or nobody knows."""

    def __repr__(self) -> str:
        return f"<Context {self.event_type} {self.event_id} on {self.topic}/{self.channel} attempt {self.attempt}>"

    @property
    def is_dry_run(self) -> bool:
        """Whether somebody asks if the event would be handled now: all that this run does is taken back, so have no effect
        that cannot be."""
        return self.captured is not None

    @property
    def event_id(self) -> str:
        """Id of the event, the same at each delivery: the key to recognise a double by."""
        return self._envelope.id

    @property
    def event_type(self) -> str:
        """Name of the event on the wire."""
        return self._envelope.type

    @property
    def version(self) -> int:
        """Version of the event's data as its owner published it."""
        return self._envelope.version

    @property
    def source(self) -> str:
        """Service that published the event."""
        return self._envelope.source

    @property
    def subject(self) -> str | None:
        """What the event is about, where its publisher said so."""
        return self._envelope.subject

    @property
    def occurred_at(self) -> datetime:
        """When the event was published (aware)."""
        return self._envelope.occurred_at

    @property
    def correlation_id(self) -> str:
        """Id of the first event of this chain."""
        return self._envelope.correlation_id

    @property
    def causation_id(self) -> str | None:
        """Id of the event whose handling published this one."""
        return self._envelope.causation_id

    @property
    def traceparent(self) -> str | None:
        """W3C trace context of the publisher."""
        return self._envelope.traceparent

    @property
    def depth(self) -> int:
        """How many events lie between this one and the first of its chain."""
        return self._envelope.depth

    @property
    def envelope(self) -> Envelope:
        """The whole envelope, for middleware."""
        return self._envelope

    def publish(self, event: Event, **options: Any) -> str:
        """Publish another event, caused by this one; same as `Bus.publish`, and confirmed when it returns."""
        if self.captured is not None:
            self.captured.append(event)
            return self.event_id
        return self._bus.publish(event, **options)

    def touch(self) -> None:
        """Tell the engine that the work goes on. The bus does so by itself while the handler runs, up to its `timeout`."""
        self._delivery.touch()
