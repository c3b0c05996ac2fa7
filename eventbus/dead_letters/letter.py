"""Letter: how a dead letter looks on the wire, written and read. docs/wire-format.md has it for other languages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from eventbus.engines.base import Delivery
from eventbus.errors import DecodeError
from eventbus.runtime.randomness import SYSTEM, Randomness
from eventbus.runtime.tracebacks import innermost_frame
from eventbus.wire.codec import CODECS, Limits, decode
from eventbus.wire.envelope import Envelope
from eventbus.wire.identity import InstantWriter, new_id, parse_instant

TYPE = "eventbus.DeadLetter"
RESERVE = 4096
"""Bytes kept free in every event, so that its dead letter still fits into a message."""
_MAX_ERROR = 1000
_msgpack = CODECS["msgpack"]()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One parked delivery.

    Attributes:
        id: the event's id, or an id of its own where the bytes were no envelope.
        topic, channel: where it could not be processed.
        reason: why in a few words: "attempts used up", "rejected: ...", "not decodable: ...", "invalid: ...".
        error: the last exception, as `Type: text`; None where there was none.
        attempts: deliveries it took.
        first, last: when the engine accepted the message, and when it was parked.
        event_type: name of the event, where it is known.
        body: the original bytes.
        place: the innermost frame of the user's own code, as `mailer.py:88 in send`; None where there was none.
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

    def envelope(self) -> Envelope:
        """Return the original envelope; raises DecodeError where the bytes are none."""
        return decode(self.body)


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
    randomness: Randomness = SYSTEM,
) -> bytes:
    """Return the bytes of the dead letter of `delivery`.

    Args:
        envelope: of the event; None where the bytes are none.
        now: seconds since 1970.
    """
    write = InstantWriter().write
    letter = Envelope(
        new_id(now, randomness) if envelope is None else envelope.id,
        service,
        TYPE,
        write(now),
        {
            "topic": topic,
            "channel": channel,
            "reason": reason[:_MAX_ERROR],
            "error": None if error is None else f"{type(error).__name__}: {error}"[:_MAX_ERROR],
            "attempts": attempts,
            "first": write(delivery.timestamp),
            "last": write(now),
            "eventtype": None if envelope is None else envelope.type,
            "body": delivery.body,
            "place": None if error is None else innermost_frame(error),
        },
        None if envelope is None else envelope.correlation_id,
        None if envelope is None else {"causation_id": envelope.causation_id},
    )
    return _msgpack.encode(letter)


def read_letter(body: bytes, *, topic: str, channel: str, timestamp: float, limits: Limits) -> DeadLetter:
    """Return the dead letter in `body`; bytes without a label become one that says so."""
    try:
        letter = decode(body, limits)
        data: Any = letter.data
        if letter.type != TYPE:
            raise DecodeError("no label")
        return DeadLetter(
            id=letter.id,
            topic=data["topic"],
            channel=data["channel"],
            reason=data["reason"],
            error=data["error"],
            attempts=data["attempts"],
            first=datetime.fromtimestamp(parse_instant(data["first"], attribute="first"), UTC),
            last=datetime.fromtimestamp(parse_instant(data["last"], attribute="last"), UTC),
            event_type=data["eventtype"],
            body=data["body"],
            place=data.get("place"),
        )
    except (DecodeError, KeyError, TypeError):
        when = datetime.fromtimestamp(timestamp, UTC)
        return DeadLetter("", topic, channel, "parked without a label", None, 0, when, when, None, body)
