"""Codecs: round trips of anything that can be written, and DecodeError for anything that cannot be read."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventbus import DecodeError, EncodeError, Event, Value
from eventbus.wire.codec import JsonCodec, Limits, MsgpackCodec, _read_msgpack_carefully, decode, dump
from eventbus.wire.envelope import Envelope, read_attributes, read_plain_attributes
from eventbus.wire.packing import LIBRARY, read_plainly_with_msgpack, read_plainly_with_ormsgpack

CODECS = [MsgpackCodec(), JsonCodec()]
PLAIN_READERS = [
    read_plainly_with_msgpack,
    pytest.param(
        read_plainly_with_ormsgpack,
        marks=pytest.mark.skipif(LIBRARY == "msgpack", reason="the extra eventbus[fast] is not installed here"),
    ),
]
ENVELOPE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "0190c5a0-0000-7000-8000-000000000001",
    "source": "orders",
    "type": "OrderPlaced",
    "time": "2026-01-31T12:00:00.000000Z",
    "data": {"a": 1},
}

text = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp", "Cf", "Co", "Cn", "Zs")), min_size=1, max_size=20)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
trees = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=30,
)


scalars = (
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.floats(allow_nan=False, allow_infinity=False) | text
)


def envelope(**changes: Any) -> Envelope:
    return decode(msgpack.packb({**ENVELOPE, **changes}))


class Inner(Value):
    raw: bytes
    at: datetime
    amount: Decimal


class Sample(Event, topic="sample"):
    id_: UUID
    flag: bool
    count: int
    ratio: float
    text: str
    maybe: str | None
    raw: bytes
    at: datetime
    amount: Decimal
    inner: tuple[Inner, ...]
    lookup: dict[str, int]


aware = st.datetimes(timezones=st.just(UTC))
amounts = st.decimals(allow_nan=False, allow_infinity=False, places=2)
inners = st.builds(Inner, raw=st.binary(max_size=50), at=aware, amount=amounts)
words = st.text(st.characters(exclude_categories=("Cs",)), max_size=50)
samples = st.builds(
    Sample,
    id_=st.uuids(),
    count=st.integers(-(2**63), 2**63 - 1),
    ratio=st.floats(allow_nan=False, allow_infinity=False),
    text=words,
    maybe=st.none() | words,
    raw=st.binary(max_size=50),
    at=aware,
    amount=amounts,
    inner=st.lists(inners, max_size=5).map(tuple),
    lookup=st.dictionaries(words, st.integers(-(2**63), 2**63 - 1), max_size=5),
)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
@given(event=samples)
@settings(max_examples=200, deadline=None)
def test_any_event_survives_the_trip(codec: Any, event: Sample) -> None:
    body = codec.encode(Envelope("id", "source", "Sample", "2026-01-01T00:00:00Z", dump(event)))
    assert Sample.__pydantic_validator__.validate_python(decode(body).data, extra="ignore") == event


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
@given(data=trees, name=text, depth=st.integers(0, 1000), due=st.floats(0, 4e9), extension=scalars)
@settings(max_examples=200, deadline=None)
def test_any_envelope_survives_the_trip(codec: Any, data: Any, name: str, depth: int, due: float, extension: Any) -> None:
    sent = Envelope(
        name, name, name, "2026-01-01T00:00:00Z", data, None, {"depth": depth, "deliver_at": due, "causation_id": name}
    )
    sent.extensions = {"zzz": extension}
    read = decode(codec.encode(sent))
    for attribute in ("id", "source", "type", "time", "data", "depth", "causation_id", "correlation_id", "extensions"):
        assert getattr(read, attribute) == getattr(sent, attribute)
    assert read.deliver_at == pytest.approx(due, abs=1e-5)


@given(body=st.binary(max_size=400))
@settings(max_examples=500, deadline=None)
def test_no_bytes_raise_anything_but_a_decode_error(body: bytes) -> None:
    try:
        decode(body)
    except DecodeError as error:
        assert error.body == body


@given(data=st.data())
@settings(max_examples=500, deadline=None)
def test_no_damaged_envelope_raises_anything_but_a_decode_error(data: Any) -> None:
    whole = data.draw(st.sampled_from([msgpack.packb(ENVELOPE), json.dumps(ENVELOPE).encode()]))
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + data.draw(st.binary(max_size=8)) + whole[at + data.draw(st.integers(0, 8)) :]
    with suppress(DecodeError):
        decode(damaged)


@pytest.mark.parametrize("reader", PLAIN_READERS)
@given(data=st.data(), tree=trees)
@settings(max_examples=200, deadline=None)
def test_a_plain_reader_returns_what_the_careful_one_does_or_nothing(reader: Any, data: Any, tree: Any) -> None:
    """With the extra eventbus[fast] and without it the same bytes mean the same."""
    whole = msgpack.packb({**ENVELOPE, "data": tree})
    at = data.draw(st.integers(0, len(whole) - 1))
    body = data.draw(st.sampled_from([whole, whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + 1 :]]))
    try:
        read = reader(body, 32)
    except Exception:
        read = None
    if read is not None:
        assert read == _read_msgpack_carefully(body, Limits())


@pytest.mark.parametrize("reader", PLAIN_READERS)
def test_no_plain_reader_passes_what_must_be_refused(reader: Any) -> None:
    for body in BAD.values():
        try:
            read = reader(body, 32)
        except Exception:
            continue
        if read is not None:
            with pytest.raises(Exception, match=r"."):
                read_attributes(read)
    assert reader(msgpack.packb(ENVELOPE), 32) == ENVELOPE


def nested(depth: int) -> Any:
    tree: Any = 1
    for _ in range(depth):
        tree = [tree]
    return tree


BAD = {
    "nothing": b"",
    "neither codec": b"hello",
    "a list": msgpack.packb([1]),
    "trailing bytes": msgpack.packb(ENVELOPE) + b"\x00",
    "never used byte": b"\x81\xa1a\xc1",
    "bad UTF-8": msgpack.packb({**ENVELOPE, "id": b"\xff\xfe"}, use_bin_type=False),
    "too deep": msgpack.packb({**ENVELOPE, "data": nested(33)}),
    "much too deep": b"\x81\xa1a" + b"\x91" * 5000 + b"\xc0",
    "claims two thousand million items": b"\x81\xa1a\xdd\x7f\xff\xff\xff",
    "the same key twice": b"\x82\xa1a\x01\xa1a\x02",
    "the same key twice, nested": msgpack.packb(ENVELOPE).replace(b"\x81\xa1a\x01", b"\x82\xa1a\x01\xa1a\x02"),
    "a number as key": msgpack.packb({**ENVELOPE, "data": {1: 2}}),
    "bytes as key": msgpack.packb({**ENVELOPE, "data": {b"k": 2}}),
    "an extension type": msgpack.packb({**ENVELOPE, "data": msgpack.ExtType(5, b"x")}),
    "a timestamp": msgpack.packb({**ENVELOPE, "data": msgpack.Timestamp(1, 2)}),
    "NaN": msgpack.packb({**ENVELOPE, "data": float("nan")}),
    "infinity in 32 bits": msgpack.packb({**ENVELOPE, "data": 0})[:-1] + b"\xca" + struct.pack(">f", float("inf")),
    "JSON NaN": b'{"specversion": NaN}',
    "JSON infinity by size": json.dumps({**ENVELOPE, "data": 1}).replace('"data": 1', '"data": 1e999').encode(),
    "JSON key twice": b'{"id": 1, "id": 2}',
    "JSON too deep": json.dumps({**ENVELOPE, "data": nested(40)}).encode(),
    "JSON much too deep": b'{"a":' + b"[" * 60000,
    "JSON cut off": json.dumps(ENVELOPE).encode()[:-3],
    "JSON trailing": json.dumps(ENVELOPE).encode() + b"x",
    "other spec version": msgpack.packb({**ENVELOPE, "specversion": "0.3"}),
    "no id": msgpack.packb({**ENVELOPE, "id": ""}),
    "id is a number": msgpack.packb({**ENVELOPE, "id": 5}),
    "line break in the type": msgpack.packb({**ENVELOPE, "type": "a\nb"}),
    "endless id": msgpack.packb({**ENVELOPE, "id": "x" * 5000}),
    "negative depth": msgpack.packb({**ENVELOPE, "causationid": "x", "depth": -1}),
    "bad version": msgpack.packb({**ENVELOPE, "dataversion": 0}),
    "huge version": msgpack.packb({**ENVELOPE, "dataversion": 2**31}),
    "huge depth": msgpack.packb({**ENVELOPE, "depth": 2**31}),
    "prior attempts beyond 64 bits": json.dumps({**ENVELOPE, "replayfor": "c", "priorattempts": 2**64}).encode(),
    "a truth as a depth": msgpack.packb({**ENVELOPE, "depth": True}),
    "id of 256": msgpack.packb({**ENVELOPE, "id": "x" * 256}),
    "type of 256": msgpack.packb({**ENVELOPE, "type": "x" * 256}),
    "source of 256": msgpack.packb({**ENVELOPE, "source": "x" * 256}),
    "time of a year before 1": msgpack.packb({**ENVELOPE, "time": "0001-01-01T00:00:00+23:59"}),
    "time before 1970": msgpack.packb({**ENVELOPE, "time": "1969-12-31T23:59:59Z"}),
    "time after 9999": msgpack.packb({**ENVELOPE, "time": "9999-12-31T23:59:59-23:59"}),
    "expiry after 9999": msgpack.packb({**ENVELOPE, "expirytime": "9999-12-31T23:59:59-23:59"}),
    "65 extensions": msgpack.packb({**ENVELOPE, **{f"x{n}": 1 for n in range(65)}}),
    "an extension with a strange name": msgpack.packb({**ENVELOPE, "Tenant": "blue"}),
    "an extension with a long name": msgpack.packb({**ENVELOPE, "x" * 21: "blue"}),
    "an extension that is a map": msgpack.packb({**ENVELOPE, "tenant": {}}),
    "an extension of 64 bits": msgpack.packb({**ENVELOPE, "tenant": 2**40}),
    "an endless extension": msgpack.packb({**ENVELOPE, "tenant": "x" * 1025}),
    "naive delivery time": msgpack.packb(
        {**ENVELOPE, "deliverat": "2026-01-01T00:00:00", "subject": "x", "depth": 0, "z": 1}
    ),
    "no time at all": msgpack.packb({**ENVELOPE, "deliverat": "soon", "subject": "x", "depth": 0, "z": 1}),
}


def test_values_that_no_wire_carries_are_refused_with_the_events_name() -> None:
    with pytest.raises(EncodeError, match="OrderPlaced: a value cannot be written"):
        MsgpackCodec().encode(envelope(data={}).__class__("i", "s", "OrderPlaced", "t", 2**70))
    with pytest.raises(EncodeError, match="OrderPlaced"):
        JsonCodec().encode(Envelope("i", "s", "OrderPlaced", "t", float("nan")))

    class Odd(Event, topic="odd"):
        thing: object

    with pytest.raises(EncodeError, match="Odd"):
        dump(Odd(thing=object()))


def test_unknown_attributes_are_kept() -> None:
    read = envelope(tenant="blue", causationid="c", depth=1)
    assert read.extensions == {"tenant": "blue"}
    assert decode(MsgpackCodec().encode(read)).extensions == {"tenant": "blue"}


GOLDEN = bytes.fromhex(
    "89ab7370656376657273696f6ea3312e30a26964a4"
    "69642d31a6736f75726365a66f7264657273a474797065ab4f72646572506c61636564a474696d65b4"
    "323032362d30312d33315431323a30303a30305aaf64617461636f6e74656e7474797065b3"
    "6170706c69636174696f6e2f6d73677061636bab6461746176657273696f6e01ad636f7272656c6174696f6e6964a4"
    "69642d31a46461746181a16101"
)


def test_the_bytes_of_the_first_version_stay_what_they_are() -> None:
    assert MsgpackCodec().encode(Envelope("id-1", "orders", "OrderPlaced", "2026-01-31T12:00:00Z", {"a": 1})) == GOLDEN
    assert decode(GOLDEN).data == {"a": 1}


_OPTIONAL = {
    "causationid": "0199-cause",
    "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
    "subject": "order 7",
    "receiptto": "orders_placed.receipts",
    "depth": 3,
    "replayfor": "shop",
    "priorattempts": 2,
    "expirytime": "2026-01-31T12:00:00Z",
    "deliverat": "2026-01-31T12:00:00Z",
    "tenant": "x",
    "dataversion": 2,
}
_WRONG: list[Any] = [None, "", "x" * 1025, "line\nbreak", -1, 0, True, 1.5, 2**40, b"x", [], {}]


@given(st.data())
def test_both_readers_of_attributes_agree(data: Any) -> None:
    wire = json.loads(JsonCodec().encode(Envelope("i", "s", "T", "2026-01-31T12:00:00Z", {"a": 1})))
    for name in data.draw(st.lists(st.sampled_from(sorted(_OPTIONAL)), unique=True)):
        wire[name] = _OPTIONAL[name] if data.draw(st.integers(0, 4)) else data.draw(st.sampled_from(_WRONG))
    plain = read_plain_attributes(wire)
    if plain is not None:
        careful = read_attributes(wire)
        names = [*vars(careful), *vars(plain), "causation_id", "traceparent", "subject", "depth", "extensions"]
        assert {each: getattr(plain, each) for each in names} == {each: getattr(careful, each) for each in names}
