"""Record: what became of one delivery, or what happened to one row of an outbox.

On the wire it is an array of fixed length, in the order of the fields here: names would be two thirds of the bytes. What
comes in was written by anybody who may publish, so each value is checked, and nothing else is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from math import isfinite
from operator import attrgetter
from typing import Any, Literal, get_args

from eventbus.errors import DecodeError
from eventbus.names import EPHEMERAL
from eventbus.wire.envelope import MAX_ATTRIBUTE_LENGTH, MAX_COUNT, MAX_ID_LENGTH, MAX_NAME_LENGTH, read_text
from eventbus.wire.identity import LAST_INSTANT

TOPIC = f"eventbus.outcomes{EPHEMERAL}"
"""The topic of all records."""

What = Literal[
    "handled",
    "retried",
    "postponed",
    "parked",
    "dropped",
    "expired",
    "unhandled",
    "skipped",
    "early",
    "returned",
    "added",
    "published",
    "settled",
]
"""Of a delivery the values of `eventbus.middleware.Outcome`; of an outbox's row `added`, `published` and `settled`."""

OF_ROWS = frozenset({"added", "published", "settled"})
"""Those that are told of a row of an outbox: such a record has neither channel nor attempt."""
FAILURES = frozenset({"retried", "parked", "dropped", "returned"})
"""Those that are told whatever the load."""

MAX_PLACE = 200
"""Longest place in characters."""
_WHATS: frozenset[str] = frozenset(get_args(What))


@dataclass(slots=True)  # not frozen: a service makes many, and each would cost three times as much
class Record:
    """What became of one delivery, or what happened to one row of an outbox.

    Attributes:
        outcome: in a word; see `What`.
        topic: where the event was published.
        channel: whose delivery it was; empty for a row of an outbox.
        service, instance: who tells it: the service's name, and its own among the replicas.
        id, source, type, version: of the event. `source` is the service that published it.
        correlation: id of the first event of its chain.
        cause: id of the event whose handling published it, or None.
        subject: what the event is about, where its publisher said so.
        published: when the event was published, in seconds since 1970; None where its time cannot be read.
        attempt: 1 at the first delivery; 0 for a row of an outbox.
        begin, end: of the handler's run, in seconds since 1970; the same instant where none ran.
        again: when it comes again, in seconds since 1970; None where it does not, or nobody knows.
        error: type of what was raised, such as `SMTPServerBusy`; None where nothing was.
        place: innermost frame of the user's own code, as `mailer.py:88 in send`; None where there is none.
    """

    outcome: What
    topic: str
    channel: str
    service: str
    instance: str
    id: str
    source: str
    type: str
    version: int
    correlation: str
    cause: str | None
    subject: str | None
    published: float | None
    attempt: int
    begin: float
    end: float
    again: float | None = None
    error: str | None = None
    place: str | None = None

    @property
    def is_of_row(self) -> bool:
        """Whether it tells of a row of an outbox, and not of a delivery."""
        return self.outcome in OF_ROWS

    @property
    def is_failure(self) -> bool:
        """Whether a handler failed, or its delivery went wrong."""
        return self.outcome in FAILURES

    def to_wire(self) -> list[Any]:
        """Return the array that goes on the wire."""
        return list(_values(self))


_values = attrgetter(*(each.name for each in fields(Record)))


def _text(most: int, *, is_optional: bool = False, may_be_empty: bool = False) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        if value is None and is_optional:
            return
        if type(value) is not str or len(value) > most or not (value or may_be_empty):
            raise DecodeError(f"record: {name} is no text of 1 to {most} characters")
        read_text("subject", value)  # characters that no attribute may have

    return check


def _count(least: int) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        if type(value) is not int or not least <= value <= MAX_COUNT:
            raise DecodeError(f"record: {name} is no whole number from {least} to {MAX_COUNT}")

    return check


def _instant(*, is_optional: bool = False) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        if value is None and is_optional:
            return
        if type(value) not in (float, int) or not isfinite(value) or not 0 <= value < LAST_INSTANT:
            raise DecodeError(f"record: {name} is no instant in seconds since 1970")

    return check


def _outcome(name: str, value: Any) -> None:
    if type(value) is not str or value not in _WHATS:
        raise DecodeError(f"record: {name} is none that is known")


_CHECKS: Sequence[tuple[str, Callable[[str, Any], None]]] = (
    ("outcome", _outcome),
    ("topic", _text(MAX_NAME_LENGTH)),
    ("channel", _text(MAX_NAME_LENGTH, may_be_empty=True)),
    ("service", _text(MAX_NAME_LENGTH)),
    ("instance", _text(MAX_NAME_LENGTH)),
    ("id", _text(MAX_ID_LENGTH, may_be_empty=True)),  # bytes that are no event have none
    ("source", _text(MAX_NAME_LENGTH, may_be_empty=True)),
    ("type", _text(MAX_NAME_LENGTH, may_be_empty=True)),
    ("version", _count(1)),
    ("correlation", _text(MAX_ID_LENGTH, may_be_empty=True)),
    ("cause", _text(MAX_ID_LENGTH, is_optional=True)),
    ("subject", _text(MAX_ATTRIBUTE_LENGTH, is_optional=True, may_be_empty=True)),
    ("published", _instant(is_optional=True)),
    ("attempt", _count(0)),
    ("begin", _instant()),
    ("end", _instant()),
    ("again", _instant(is_optional=True)),
    ("error", _text(MAX_NAME_LENGTH, is_optional=True)),
    ("place", _text(MAX_PLACE, is_optional=True)),
)


def read_record(wire: object) -> Record:
    """Return the record in an array of JSON types.

    Raises:
        DecodeError: names the value that is wrong.
    """
    if type(wire) is not list or len(wire) != len(_CHECKS):
        raise DecodeError(f"record: no array of {len(_CHECKS)} values")
    for (name, check), value in zip(_CHECKS, wire, strict=True):
        check(name, value)
    return Record(*wire)
