"""Batch: records as one message, an ordinary envelope of type `eventbus.Outcomes`, which signing and every reader fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eventbus.errors import DecodeError
from eventbus.outcomes.record import Record, read_record
from eventbus.runtime.randomness import SYSTEM, Randomness
from eventbus.wire.codec import CODECS, Limits, decode
from eventbus.wire.envelope import MAX_COUNT, Envelope
from eventbus.wire.identity import InstantWriter, new_id

TYPE = "eventbus.Outcomes"
MOST_BYTES = 256 * 1024
"""Longest message in bytes."""
MOST_RECORDS = 2000
"""Most records of a message."""
MOST_HALVINGS = 16
_LIMITS = Limits(max_bytes=MOST_BYTES, max_depth=5, max_containers=MOST_RECORDS + 16, max_items=MOST_RECORDS)
_msgpack = CODECS["msgpack"]()


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one process.

    Attributes:
        teller: who tells: the name under which the process publishes.
        at: when it was written, in seconds since 1970, by the teller's clock.
        records: in the order of their ends.
        halvings: of the chains only one in `2 ** halvings` is told, failures apart; 0 where all are.
        dropped: records that were left out since the last batch because there were too many.
        id: of the message, for who must tell doubles.
    """

    teller: str
    at: float
    records: Sequence[Record]
    halvings: int = 0
    dropped: int = 0
    id: str = ""


def write_batch(batch: Batch, randomness: Randomness = SYSTEM) -> bytes:
    """Return the bytes of a batch. What is longer than MOST_BYTES no reader takes.

    Raises:
        EncodeError: a value cannot be written.
    """
    data = {
        "at": batch.at,
        "halvings": batch.halvings,
        "dropped": min(batch.dropped, MAX_COUNT),
        "records": [each.to_wire() for each in batch.records],
    }
    id = batch.id or new_id(batch.at, randomness)
    return _msgpack.encode(Envelope(id, batch.teller, TYPE, InstantWriter().write(batch.at), data))


def read_batch(body: bytes) -> Batch:
    """Return the batch in `body`.

    Raises:
        DecodeError: it is none; never anything else.
    """
    envelope = decode(body, _LIMITS)
    data: Any = envelope.data
    if envelope.type != TYPE or type(data) is not dict:
        raise DecodeError(f"no event of type {TYPE}")
    records = data.get("records")
    if type(records) is not list:
        raise DecodeError("batch: no records")
    at: Any = data.get("at")
    if type(at) not in (float, int) or not 0 <= at < 2**33:
        raise DecodeError("batch: at is no instant in seconds since 1970")
    return Batch(
        teller=envelope.source,
        at=float(at),
        records=[read_record(each) for each in records],
        halvings=_count(data, "halvings", MOST_HALVINGS),
        dropped=_count(data, "dropped", MAX_COUNT),
        id=envelope.id,
    )


def _count(data: dict[str, Any], name: str, most: int) -> int:
    value = data.get(name, 0)
    if type(value) is not int or not 0 <= value <= most:
        raise DecodeError(f"batch: {name} is no whole number from 0 to {most}")
    return value
