"""What a decoder takes and refuses, and what that costs in memory and time."""

from __future__ import annotations

import json
import resource
import statistics
import struct
import time
from typing import Any

import msgpack
import pytest

from eventbus import DecodeError
from eventbus.wire.codec import Limits, MsgpackCodec, decode
from eventbus.wire.envelope import Envelope

ENVELOPE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "0190c5a0-0000-7000-8000-000000000001",
    "source": "orders",
    "type": "OrderPlaced",
    "time": "2026-01-31T12:00:00.000000Z",
    "data": {"a": 1},
}


def envelope(**changes: Any) -> Envelope:
    return decode(msgpack.packb({**ENVELOPE, **changes}))


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


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_bad_bytes_are_refused_with_a_reason(body: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(body)
    assert caught.value.reason
    assert caught.value.body == body


def test_a_body_above_the_limit_is_refused_unread() -> None:
    with pytest.raises(DecodeError, match="the limit is 100"):
        decode(msgpack.packb({**ENVELOPE, "data": "x" * 100}), Limits(max_bytes=100))


@pytest.mark.parametrize(
    "data",
    [b"\x80" * 900_000, b"\x90" * 900_000, b"\xdd\x00\x0f\xff\xff" * 900, b"\xdf\x00\x0f\xff\xff" * 900 + b"\x00" * 900_000],
    ids=["empty maps", "empty lists", "nested claims", "nested map claims"],
)
def test_no_bytes_take_memory_beyond_a_small_multiple(data: bytes) -> None:
    body = b"\x81\xa1a\xdd" + struct.pack(">I", len(data)) + data
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DecodeError):
        decode(body)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 40 * 1024 * 1024


def test_large_but_honest_events_are_read() -> None:
    lines = [{"sku": f"SKU-{number}", "quantity": number, "price": "1.00"} for number in range(8000)]
    assert envelope(data={"lines": lines}).data["lines"] == lines


def test_longer_forms_of_other_writers_are_read() -> None:
    long_form = b"\xde\x00\x06" + b"".join(
        msgpack.packb(key)[:1].replace(b"", b"", 0) + msgpack.packb(key)[1:] + msgpack.packb(value)
        for key, value in ENVELOPE.items()
    )
    assert decode(long_form).data == {"a": 1}


def test_what_handlers_and_outboxes_add_costs_next_to_nothing_to_decode() -> None:
    envelope = Envelope("0199-id", "orders", "OrderPlaced", "2026-01-31T12:00:00Z", {"order_id": "A1", "lines": [1, 2, 3]})
    bare = MsgpackCodec().encode(envelope)
    envelope.causation_id, envelope.traceparent, envelope.depth = "0199-cause", f"00-{'a' * 32}-{'b' * 16}-01", 1
    envelope.extensions = {"receiptto": "orders_placed.receipts"}
    full = MsgpackCodec().encode(envelope)

    def cost(body: bytes) -> float:
        began = time.process_time()
        for _ in range(300):
            decode(body)
        return time.process_time() - began

    # in turns, and each against its neighbour: a busy machine is fast for one of them and slow for another
    ratios = [cost(full) / cost(bare) for _ in range(30)]
    assert statistics.median(ratios) < 1.7


def test_what_is_read_depends_on_the_bytes_alone() -> None:
    for instant in ("soon", "2026-01-31T12:00:00", ""):
        body = msgpack.packb({**ENVELOPE, "time": instant, "causationid": "c"})
        assert decode(body).attributes("x") == decode(body).attributes("x")
        assert decode(body).time == instant
