"""Middleware: hooks around publish and handle, for tracing, metrics and the like.

Each middleware wraps the next: call `proceed` once, and do your part before and after. A middleware that overrides none of
the hooks of a side costs nothing there. Order is that of the list given to the bus: the first is the outermost.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from eventbus.context import Context
from eventbus.envelope import Envelope


class Outcome(Enum):
    """What became of one delivery."""

    HANDLED = "handled"
    RETRIED = "retried"
    """A handler failed; comes again after the policy's delay."""
    POSTPONED = "postponed"
    """A handler raised RetryLater."""
    PARKED = "parked"
    """Became a dead letter."""
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

    def publish(self, topic: str, envelope: Envelope, proceed: Callable[[str, Envelope], None]) -> None:
        """Around a publish; `proceed(topic, envelope)` returns when the engine has confirmed it, and may raise."""
        proceed(topic, envelope)

    def enqueue(self, topic: str, envelope: Envelope) -> None:
        """An event is added to an outbox, inside the caller's transaction; it is published after the commit, in another
        greenlet, where `publish` is called. The place to note the caller's trace in the envelope. May run in a thread."""

    def handle(self, event: Any, context: Context, proceed: Callable[[Any, Context], Any]) -> Any:
        """Around a handler; `event` is a list of events for a batch handler, `context` that of its first event."""
        return proceed(event, context)

    def settled(self, outcome: Outcome, context: Context, error: BaseException | None) -> None:
        """After a delivery got its answer; must not raise."""


def overrides(middleware: Middleware, hook: str) -> bool:
    """Whether `middleware` has a hook of its own."""
    return getattr(type(middleware), hook) is not getattr(Middleware, hook)
