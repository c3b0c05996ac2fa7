"""What is read from a journal: events as they were logged, and the chain that one belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eventbus.outcomes import Record


@dataclass(frozen=True, slots=True)
class Logged:
    """An event that was published.

    Attributes:
        id, source, type, version: its own; `source` is the service that published it.
        topic: where it was published.
        correlation: id of the first event of its chain.
        cause: id of the event whose handling published it, or None.
        subject: what it is about, where its publisher said so.
        time: when it was published, in seconds since 1970; where it does not say so, when it was logged.
        size: of the message in bytes.
        body: the message, or None where it was not kept, is gone, or would pass what one answer may hold.
    """

    id: str
    source: str
    type: str
    version: int
    topic: str
    correlation: str
    cause: str | None
    subject: str | None
    time: float
    size: int
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Chain:
    """All events that one first event led to, and what became of their deliveries.

    Attributes:
        correlation: id of the first one.
        events: in the order of their times.
        records: what services told, in the order of their ends.
        is_cut: whether there is more than one answer may hold; the oldest are here.
    """

    correlation: str
    events: Sequence[Logged]
    records: Sequence[Record]
    is_cut: bool = False
