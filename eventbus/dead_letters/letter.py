"""Letter: how a dead letter looks on the wire, written and read. docs/wire-format.md has it for other languages.

Writing never fails, whatever is parked: texts are made printable, numbers are bounded, and what does not fit is left
out bit by bit, down to the bare bytes and to their beginning. Reading takes nothing for granted: whoever can publish
can write to a dead-letter topic, and one odd letter must not keep anybody from the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from eventbus.dead_letters.done import KEPT
from eventbus.engines.base import Delivery
from eventbus.errors import DecodeError
from eventbus.runtime.randomness import SYSTEM, Randomness
from eventbus.runtime.redaction import printable, text_of
from eventbus.runtime.tracebacks import innermost_frame
from eventbus.wire.codec import CODECS, DEFAULT_LIMITS, Limits, decode
from eventbus.wire.envelope import MAX_COUNT, MAX_NAME_LENGTH, Envelope
from eventbus.wire.identity import LAST_INSTANT, InstantWriter, new_id, parse_instant
from eventbus.wire.limits import RESERVE

TYPE = "eventbus.DeadLetter"
_MAX_TEXT = 1000
"""Longest reason and error in characters."""
_SHORT_TEXT = 100
_NO_LABEL = "parked without a label"
_msgpack = CODECS["msgpack"]()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One parked delivery.

    Attributes:
        id: the event's id, or an id of its own where the bytes were no envelope.
        topic, channel: where it could not be processed.
        reason: why in a few words: "attempts used up", "rejected: ...", "not decodable: ...", "invalid: ...".
        error: the last exception, as `Type: text`; None where there was none.
        attempts: runs that began; deliveries where no handler was reached.
        first, last: when the engine accepted the message, and when it was parked.
        event_type: name of the event, where it is known.
        body: the original bytes.
        place: the innermost frame of the user's own code, as `mailer.py:88 in send`; None where there was none.
        size: bytes of the original; more than `body` has where only its beginning could be kept.
        limits: what `envelope` accepts.
        is_kept: whether the service's database keeps it too, until it was handled or discarded.
        proof: whose word the event is, where events are signed: "signed by orders-1", "not signed", "wrong key: ...".
    """

    id: str
    topic: str
    channel: str
    reason: str
    error: str | None
    attempts: int
    first: datetime
    last: datetime
    event_type: str | None
    body: bytes
    place: str | None = None
    size: int = -1
    limits: Limits = DEFAULT_LIMITS
    is_kept: bool = False
    proof: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether `body` is all of the original bytes."""
        return self.size <= len(self.body)

    def envelope(self) -> Envelope:
        """Return the original envelope; raises DecodeError where the bytes are none."""
        if not self.is_whole:
            raise DecodeError(f"the first {len(self.body):,} of {self.size:,} bytes", body=self.body)
        return decode(self.body, self.limits)


def write_letter(
    delivery: Delivery,
    *,
    topic: str,
    channel: str,
    service: str,
    reason: str,
    error: BaseException | None,
    attempts: int,
    envelope: Envelope | None,
    now: float,
    max_bytes: int,
    randomness: Randomness = SYSTEM,
) -> bytes:
    """Return the bytes of the dead letter of `delivery`, at most `max_bytes`. Never raises.

    Args:
        envelope: of the event; None where the bytes are none.
        now: seconds since 1970.
    """
    write = InstantWriter().write
    body = delivery.body

    def label(text: int, kept: int, *, is_known: bool) -> bytes:
        """The letter with texts of `text` characters and `kept` bytes of the body."""
        seen = envelope if is_known else None
        data = {
            "topic": topic,
            "channel": channel,
            "reason": printable(reason)[:text],
            "error": None if error is None else f"{type(error).__name__}: {text_of(error)}"[:text],
            "attempts": min(max(attempts, 0), MAX_COUNT),
            "first": write(_bounded(delivery.timestamp)),
            "last": write(now),
            "eventtype": None if seen is None else seen.type,
            "body": body[:kept],
            "place": None if error is None else _place(error, text),
        }
        if kept < len(body):
            data["size"] = len(body)
        letter = Envelope(
            new_id(now, randomness) if seen is None else seen.id,
            service,
            TYPE,
            write(now),
            data,
            None if seen is None else seen.correlation_id,
            None if seen is None else {"causation_id": seen.causation_id},
        )
        return _msgpack.encode(letter)

    size = len(body)
    tries: Iterator[tuple[int, int, bool]] = iter(
        ((_MAX_TEXT, size, True), (_SHORT_TEXT, size, True), (_SHORT_TEXT, size, False))
    )
    for text, kept, is_known in tries:
        written = _attempt(label, text, kept, is_known, max_bytes)
        if written is not None:
            return written
    if size <= max_bytes:
        return body  # somebody else's message of the full size: its bytes alone are worth more than our label
    head = max(max_bytes - RESERVE, 0)
    return _attempt(label, _SHORT_TEXT, head, False, max_bytes) or body[:max_bytes]


def _attempt(label: Any, text: int, kept: int, is_known: bool, max_bytes: int) -> bytes | None:
    try:
        written: bytes = label(text, kept, is_known=is_known)
    except Exception:  # whatever cannot be written of it is left out by the next try
        return None
    return written if len(written) <= max_bytes else None


def _place(error: BaseException, most: int) -> str | None:
    place = innermost_frame(error)
    return None if place is None else printable(place)[:most]


def _bounded(instant: float) -> float:
    return instant if 0.0 <= instant < LAST_INSTANT else 0.0


def mark_kept(letter: bytes) -> bytes:
    """Return the bytes of a dead letter that says that a database keeps it; what has no label stays as it is."""
    try:
        envelope = decode(letter)
    except DecodeError:
        return letter
    if envelope.type != TYPE:
        return letter
    envelope.extensions = {**(envelope.extensions or {}), KEPT: True}
    return _msgpack.encode(envelope)


def read_letter(body: bytes, *, topic: str, channel: str, timestamp: float, limits: Limits) -> DeadLetter:
    """Return the dead letter in `body`; bytes without a label, or with an odd one, become one that says so."""
    try:
        letter = decode(body, limits)
        if letter.type != TYPE or type(letter.data) is not dict:
            raise DecodeError("no label")
        data: dict[str, Any] = letter.data
        kept = _field(data, "body", bytes)
        return DeadLetter(
            id=letter.id,
            topic=_text(data, "topic", MAX_NAME_LENGTH),
            channel=_text(data, "channel", MAX_NAME_LENGTH),
            reason=_text(data, "reason", _MAX_TEXT),
            error=_optional(data, "error", _MAX_TEXT),
            attempts=_count(data, "attempts", 0),
            first=datetime.fromtimestamp(parse_instant(_text(data, "first", 64), attribute="first"), UTC),
            last=datetime.fromtimestamp(parse_instant(_text(data, "last", 64), attribute="last"), UTC),
            event_type=_optional(data, "eventtype", MAX_NAME_LENGTH),
            body=kept,
            place=_optional(data, "place", _MAX_TEXT),
            size=_count(data, "size", len(kept)),
            limits=limits,
            is_kept=KEPT in (letter.extensions or {}),
        )
    except DecodeError:
        when = datetime.fromtimestamp(_bounded(timestamp), UTC)
        return DeadLetter("", topic, channel, _NO_LABEL, None, 0, when, when, None, body, None, len(body), limits)


def _field(data: dict[str, Any], name: str, kind: type[T]) -> T:
    value = data.get(name)
    if type(value) is not kind:
        raise DecodeError(f"label: {name} is no {kind.__name__}")
    return value


def _text(data: dict[str, Any], name: str, most: int) -> str:
    value = _field(data, name, str)
    if len(value) > most:
        raise DecodeError(f"label: {name} is longer than {most} characters")
    return value


def _optional(data: dict[str, Any], name: str, most: int) -> str | None:
    return None if data.get(name) is None else _text(data, name, most)


def _count(data: dict[str, Any], name: str, default: int) -> int:
    value = data.get(name, default)
    if type(value) is not int or not 0 <= value <= MAX_COUNT:
        raise DecodeError(f"label: {name} is no count")
    return value
