"""Taking: the seam between what brings messages and the recorder that writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from eventbus.journal.entries import Entry

MOST_TAKEN, MOST_TAKEN_BYTES = 4000, 8 * 1024 * 1024
"""Most events, and about most bytes of them, that go into one batch."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What is to be written next.

    Attributes:
        entries: of the events.
        unreadable: how many messages were no events.
        reached: how far a log was read, by topic.
        at: when the newest of them was published, in seconds since 1970, by the clock of the log; None for now.
        done: to be called once all of it is committed.
    """

    entries: Sequence[Entry]
    unreadable: int
    done: Callable[[], None]
    reached: Mapping[str, int] = field(default_factory=dict)
    at: float | None = None


class Source(Protocol):
    """Brings messages. Greenlets of one hub."""

    def start(self, wake: Callable[[], None]) -> None:
        """Begin; `wake` is called when there is something to take. Must not block."""
        ...

    def take(self) -> Taken | None:
        """Return what is to be written next, None for nothing. What was taken before is done. May block."""
        ...

    def close(self) -> None:
        """Take nothing more; what is not done comes again to the next journal. Idempotent."""
        ...
