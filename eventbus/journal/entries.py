"""Entries: what the journal writes of a message."""

from __future__ import annotations

from typing import NamedTuple

from eventbus.errors import DecodeError
from eventbus.wire.codec import decode
from eventbus.wire.identity import parse_time
from eventbus.wire.limits import DEFAULT_LIMITS, Limits


class Entry(NamedTuple):
    """A message as a row of the journal; see `Logged`.

    Attributes:
        place: its id in the log of a bus in the same database; None where it is kept here alone.
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
    place: int | None
    body: bytes | None


def entry_of(topic: str, body: bytes, at: float, *, place: int | None = None, with_body: bool = False) -> Entry:
    """Return the entry of a message.

    Args:
        at: when the engine accepted it, in seconds since 1970, for a message that says nothing of its time.
        with_body: whether the message itself is kept.

    Raises:
        DecodeError: it is no event.
    """
    is_usual = len(body) <= DEFAULT_LIMITS.max_bytes
    envelope = decode(body) if is_usual else decode(body, Limits(max_bytes=len(body)))
    moment = parse_time(envelope.time)
    return Entry(
        envelope.id,
        envelope.source,
        envelope.type,
        envelope.version,
        topic,
        envelope.correlation_id,
        envelope.causation_id,
        envelope.subject,
        at if moment is None else moment.timestamp(),
        len(body),
        place,
        body if with_body else None,
    )


def read_entry(topic: str, body: bytes, at: float, *, place: int | None = None, with_body: bool = False) -> Entry | None:
    """Return the entry of a message, None where it is no event; arguments as `entry_of`."""
    try:
        return entry_of(topic, body, at, place=place, with_body=with_body)
    except DecodeError:
        return None


def stored_bytes(entry: Entry) -> int:
    """Return about how many bytes of a database an entry takes, its places in the indexes included."""
    texts = entry.id + entry.source + entry.type + entry.topic + entry.correlation + (entry.subject or "")
    count = len(texts) if texts.isascii() else len(texts.encode())
    return _ROW + 2 * count + (36 if entry.cause else 0) + (0 if entry.body is None else len(entry.body))


_ROW = 150
"""Numbers and heads of a row and of its places in five indexes, and the room that pages leave free."""
