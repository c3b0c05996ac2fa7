"""What is read from a journal: events as they were logged, and the chain that one belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class Use:
    """Who sent a version of an event, or which channel had deliveries of it.

    Attributes:
        name: of the publishing service, or of the channel.
        count: events, or records, in the journal.
        last: time of the newest, in seconds since 1970.
    """

    name: str
    count: int
    last: float


@dataclass(frozen=True, slots=True)
class Uses:
    """What a journal knows of the use of one version of an event.

    Attributes:
        begin: when the journal begins, in seconds since 1970; None for an empty one.
        senders: services that published it.
        readers: channels with deliveries of it, as far as services told.
        passed: of each channel of the topic, when the newest event was published that it has ended with, whatever its type.
    """

    begin: float | None
    senders: Sequence[Use]
    readers: Sequence[Use]
    passed: Mapping[str, float]
