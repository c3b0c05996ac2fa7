"""What is told of deliveries: written and read, and read from anybody."""

from __future__ import annotations

import random
from contextlib import suppress

import msgpack
import pytest

from eventbus.errors import DecodeError
from eventbus.middleware import Outcome
from eventbus.names import check_name
from eventbus.outcomes import TOPIC, Batch, Record, read_batch, write_batch
from eventbus.outcomes.batch import MOST_RECORDS
from eventbus.outcomes.record import _WHATS, OF_ROWS
from eventbus.wire.codec import CODECS, decode
from eventbus.wire.envelope import Envelope
from tests.outcomes.records import WHOLE, record

NOW = 1_800_000_002.0


def written(batch: Batch) -> Batch:
    return read_batch(write_batch(batch))


def with_record(wire: object, **changes: object) -> bytes:
    """Return a message whose one record is `wire`."""
    envelope = decode(write_batch(Batch("orders", NOW, [record()])))
    envelope.data = {**envelope.data, "records": [wire], **changes}
    return CODECS["msgpack"]().encode(envelope)


def test_topic_is_one_that_every_engine_takes() -> None:
    assert check_name(TOPIC, kind="topic") == "eventbus.outcomes#ephemeral"


def test_every_outcome_of_a_delivery_can_be_told() -> None:
    assert {each.value for each in Outcome} | OF_ROWS == _WHATS


def test_what_is_written_is_read() -> None:
    told = [record(), record(outcome="added", channel="", attempt=0, again=None, error=None, place=None, cause=None)]
    batch = Batch("orders", NOW, told, halvings=3, dropped=7, id="b1")
    assert written(batch) == batch


def test_most_records_fit_into_a_message_that_is_read() -> None:
    batch = Batch("orders", NOW, [record(again=None, error=None, place=None, subject=None)] * 700, id="b1")
    assert written(batch) == batch


@pytest.mark.parametrize("field", WHOLE)
@pytest.mark.parametrize("value", [{}, [], b"x", True, -1, 2**40, float("nan"), "x" * 2000, "a\x1b[2J", "a\nb", "\ud800"])
def test_a_wrong_value_is_named_and_never_taken(field: str, value: object) -> None:
    position = list(WHOLE).index(field)
    wire = record().to_wire()
    wire[position] = value
    try:
        body = with_record(wire)
    except Exception:
        return  # no writer can send it
    with pytest.raises(DecodeError):
        read_batch(body)


@pytest.mark.parametrize(
    "wire", [None, {}, [], record().to_wire()[:-1], [*record().to_wire(), 1], [["handled"]] * 19, "handled"]
)
def test_what_is_no_record_is_refused(wire: object) -> None:
    with pytest.raises(DecodeError):
        read_batch(with_record(wire))


@pytest.mark.parametrize(
    "changes", [{"halvings": 17}, {"halvings": -1}, {"dropped": "1"}, {"at": "now"}, {"at": 1e300}, {"records": {}}]
)
def test_what_is_no_batch_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(DecodeError):
        read_batch(with_record(record().to_wire(), **changes))


def test_more_than_the_bounds_is_refused_before_it_is_built() -> None:
    with pytest.raises(DecodeError):
        written(Batch("orders", NOW, [record(id="x")] * (MOST_RECORDS + 1)))
    with pytest.raises(DecodeError):
        written(Batch("orders", NOW, [record(subject="x" * 1000)] * 500))
    with pytest.raises(DecodeError):
        read_batch(with_record(record().to_wire(), records=[[]] * 60_000))


def test_another_event_is_no_batch() -> None:
    other = Envelope("1", "orders", "OrderPlaced", "2026-11-25T04:25:24Z", {"records": []})
    with pytest.raises(DecodeError):
        read_batch(CODECS["msgpack"]().encode(other))


def test_bytes_of_chance_are_read_or_refused_and_nothing_else() -> None:
    chance = random.Random(22)
    body = write_batch(Batch("orders", NOW, [record(), record(outcome="handled")]))
    for _ in range(5000):
        changed = bytearray(body)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        with suppress(DecodeError):
            assert all(isinstance(each, Record) for each in read_batch(bytes(changed)).records)
    with pytest.raises(DecodeError):
        read_batch(msgpack.packb({"records": []}))
