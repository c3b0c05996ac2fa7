"""Binding: one handler bound to one event, with its policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eventbus.attachments import InboxLike
from eventbus.errors import ConfigurationError
from eventbus.event import Event
from eventbus.retry import Retry


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Hand events to the handler in lists.

    Attributes:
        size: most events of one list.
        wait: longest time in seconds that the first event of a list waits for others.
    """

    size: int = 100
    wait: float = 0.5

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 <= self.wait < float("inf"):
            raise ConfigurationError(f"{self!r}: give size >= 1 and wait in seconds, 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One handler bound to one event, with its policy.

    Attributes:
        concurrency: most runs of this handler at a time in this process.
        timeout: seconds after which a run is interrupted and counts as failed.
        dry_run: whether it may be run to see if it would succeed, since all that it does then can be taken back.
    """

    event_type: type[Event]
    topic: str
    type_name: str
    handler: Callable[..., Any]
    wants_context: bool
    retry: Retry
    concurrency: int
    timeout: float
    batch: Batch | None
    inbox: InboxLike[Any] | None = None
    dry_run: bool = False

    @property
    def name(self) -> str:
        """The handler's name, for people."""
        return getattr(self.handler, "__qualname__", repr(self.handler))
