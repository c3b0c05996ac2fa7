"""Taking: the seam between what brings messages and the recorder that writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from eventbus.errors import DecodeError
from eventbus.journal.entries import Entry, entry_of

MOST_TAKEN, MOST_TAKEN_BYTES = 2000, 8 * 1024 * 1024
"""Most events, and about most bytes of them, that go into one batch."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What is to be written next.

    Attributes:
        entries: of the events.
        unreadable: how many messages were no events.
        reached: how far a log was read, by topic.
        done: to be called once all of it is committed.
    """

    entries: Sequence[Entry]
    unreadable: int
    done: Callable[[], None]
    reached: Mapping[str, int] = field(default_factory=dict)


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


def read_entries(messages: Iterable[tuple[str, bytes, float, int | None]], *, with_bodies: bool) -> tuple[list[Entry], int]:
    """Return the entries of messages (topic, body, when the engine accepted it, place in a log), and how many were no
    events."""
    entries: list[Entry] = []
    unreadable = 0
    for topic, body, at, place in messages:
        try:
            entries.append(entry_of(topic, body, at, place=place, with_body=with_bodies))
        except DecodeError:
            unreadable += 1
    return entries, unreadable
