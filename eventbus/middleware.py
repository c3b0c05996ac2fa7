"""Middleware: hooks around publish and handle, for tracing, metrics and the like.

Two kinds of hooks. `publish` and `handle` wrap: call `proceed` once, and do your part before and after; the first middleware
of the list given to the bus is the outermost. `sent`, `watch` and `settled` look on, and cost less. A hook that is not
overridden costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Literal

from eventbus.context import Context
from eventbus.wire.envelope import Envelope

RunObserver = Callable[[Envelope, float, float], None]
"""Called after a handler returned, with the envelope and the monotonic instants of its begin and end. Must not raise."""


RowState = Literal["published", "settled"]
"""Of a row of an outbox: the broker confirmed it; all whom it waits for have it."""


class Outcome(Enum):
    """What became of one delivery."""

    HANDLED = "handled"
    RETRIED = "retried"
    """A handler failed; comes again after the policy's delay."""
    POSTPONED = "postponed"
    """A handler raised RetryLater."""
    PARKED = "parked"
    """Became a dead letter."""
    DROPPED = "dropped"
    """Would have been parked, but its channel has all the dead letters that it may keep."""
    EXPIRED = "expired"
    UNHANDLED = "unhandled"
    """An event type that the service has no handler for."""
    SKIPPED = "skipped"
    """A replay that is meant for another channel."""
    EARLY = "early"
    """Came before its `deliverat`; deferred again."""
    RETURNED = "returned"
    """Given back to the engine because the service stops, or because parking failed."""


class Middleware:
    """Base with hooks that do nothing; override what you need. Must be safe to call from many greenlets."""

    def bind(self, bus: Any) -> None:
        """Called once with the `Bus` that this middleware is given to, when it is made and before any other hook."""

    def wants(self, hook: str) -> bool:
        """Whether `hook` is to be called; asked when the bus is made, and when a service is started. True for all that are
        overridden; say False for what has nothing to do in this process. `Dispatcher.ask_observers` asks
        again for `settled`."""
        return getattr(type(self), hook) is not getattr(Middleware, hook)

    def publish(self, topic: str, envelope: Envelope, proceed: Callable[[str, Envelope], None]) -> None:
        """Around a publish; `proceed(topic, envelope)` returns when the engine has confirmed it, and may raise."""
        proceed(topic, envelope)

    def enqueue(self, topic: str, envelope: Envelope) -> None:
        """An event is added to an outbox, inside the caller's transaction; it is published after the commit, in another
        greenlet, where `publish` is called. The place to note the caller's trace in the envelope. May run in a thread."""

    def sent(self, source: str, topic: str, count: int, seconds: float, error: Exception | None) -> None:
        """After the engine confirmed `count` events of a topic together, or did not: `error` is then what the publisher
        gets. Must not raise."""

    def handle(self, event: Any, context: Context, proceed: Callable[[Any, Context], Any]) -> Any:
        """Around a handler; `event` is a list of events for a batch handler, `context` that of its first event."""
        return proceed(event, context)

    def watch(self, service: str, topic: str, channel: str) -> RunObserver | None:
        """Called when a subscription starts; return what is to be called after each successful run of its handlers."""
        return None

    def settled(self, outcome: Outcome, context: Context, error: BaseException | None) -> None:
        """After a delivery got its answer; must not raise. The context knows when it ran, and when it comes again."""

    def passes_over(self, envelope: Envelope) -> bool:
        """Whether `settled` need not be called for an event that was handled at its first attempt: asked before anything is
        made for the call, which costs more than many a handler. Must not raise."""
        return False

    def relayed(self, state: RowState, topic: str, bodies: Sequence[bytes]) -> None:
        """After rows of an outbox changed their state and the change is committed; `bodies` are their events' bytes. Must
        not raise, and may run in a thread."""
