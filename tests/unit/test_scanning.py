"""The reader in C: it is used where it can be, it takes what is plain, and it stops exactly at each limit."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest

from eventbus import DecodeError
from eventbus.wire import codec
from eventbus.wire.codec import Limits, decode
from eventbus.wire.envelope import RECEIPT_TO, Envelope
from eventbus.wire.scanning import PURE
from tests.fuzz.scan import told
from tests.waiting import PATIENCE

PLAIN: dict[str, Any] = {
    "specversion": "1.0",
    "id": "0190c5a0-0000-7000-8000-000000000001",
    "source": "orders",
    "type": "OrderPlaced",
    "time": "2026-01-31T12:00:00.000000Z",
    "datacontenttype": "application/msgpack",
    "dataversion": 1,
    "correlationid": "0190c5a0-0000-7000-8000-000000000002",
    "data": {"a": [1, -1, 2**64 - 1, -(2**63), 0.5, None, True, "é", b"\xff"]},
}
TRAVELLING = {
    **PLAIN,
    "dataversion": 3,
    "causationid": "0190c5a0-0000-7000-8000-000000000003",
    "traceparent": "00-4bf92f35",
    "subject": "order 1",
    "depth": 2,
    RECEIPT_TO: "orders_receipts",
}
is_built = pytest.mark.skipif(codec.scan is None, reason="the extension in C is not built here")


def scanned(body: bytes, limits: Limits = Limits()) -> Envelope | None:  # noqa: B008
    """Return what the extension makes of a body."""
    assert codec.scan is not None
    found = codec.scan(body, limits.max_depth, limits.max_containers, limits.max_items)
    return None if found is None else Envelope(*found)


def carefully(body: bytes) -> Envelope:
    """Return what the careful reader makes of it."""
    return codec.read_attributes(codec._read_carefully(body, Limits()))


@is_built
@pytest.mark.parametrize("wire", [PLAIN, TRAVELLING, {**PLAIN, "depth": 0}, dict(reversed(TRAVELLING.items()))])
def test_what_services_send_is_read_in_one_pass(wire: dict[str, Any]) -> None:
    body = msgpack.packb(wire)
    found = scanned(body)
    assert found is not None
    assert told(found) == told(carefully(body)) == told(decode(body))


def seams() -> Iterator[tuple[str, dict[str, Any], Limits, bool]]:
    """Yield what lies at a limit and one beyond it."""

    def nested(depth: int) -> Any:
        data: Any = 1
        for _ in range(depth):
            data = [data]
        return data

    for depth in (31, 32):
        yield f"{depth} arrays in the envelope", {"data": nested(depth)}, Limits(), depth == 31
    for most in (4, 3):
        yield f"4 containers of {most}", {"data": {"a": [], "b": {}}}, Limits(max_containers=most), most == 4
    for most in (12, 11):
        yield f"12 entries of {most}", {"data": dict.fromkeys("abcdefghijkl", 1)}, Limits(max_items=most), most == 12
    for most in (2000, 1999):
        yield f"2,000 items of {most}", {"data": [1] * 2000}, Limits(max_items=most), most == 2000
    for name in ("id", "source", "type", "correlationid", "causationid"):
        for size in (255, 256):
            yield f"{name} of {size}", {name: "x" * size}, Limits(), size == 255
    for name in ("traceparent", "subject", RECEIPT_TO):
        for size in (1024, 1025):
            yield f"{name} of {size}", {name: "x" * size}, Limits(), size == 1024
    for name in ("dataversion", "depth"):
        for count in (2**31 - 1, 2**31):
            yield f"{name} {count}", {name: count}, Limits(), count == 2**31 - 1


@is_built
@pytest.mark.parametrize(("wire", "limits", "is_taken"), [pytest.param(*rest, id=name) for name, *rest in seams()])
def test_it_stops_exactly_at_each_limit(wire: dict[str, Any], limits: Limits, is_taken: bool) -> None:
    body = msgpack.packb({**PLAIN, **wire})
    assert (scanned(body, limits) is not None) is is_taken
    if not is_taken:  # nor does any other reader take it
        with pytest.raises(DecodeError):
            decode(body, limits)


@is_built
def test_heads_that_claim_the_rest_of_the_body_again_and_again_take_no_memory() -> None:
    size = 1_000_000
    body = msgpack.packb(PLAIN)[:-1] + b"\xdd\x00\x01\xff\x00" * (size // 5)
    before = _peak()
    assert scanned(body) is None
    with pytest.raises(DecodeError):
        decode(body)
    assert _peak() - before < 64 * 1024


def _peak() -> int:
    """Return the most memory of this process so far, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_a_variable_keeps_it_out() -> None:
    program = "from eventbus.wire.scanning import READER, scan; print(READER, scan)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, PURE: "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stdout == "Python None\n"


@is_built
@pytest.mark.parametrize("odd", [("body", 1, 1, 1), (bytearray(b"\x80"), 1, 1, 1), (b"\x80", 10**30, -(10**30), 10**30)])
def test_what_is_no_body_and_no_limit_harms_nothing(odd: tuple[Any, ...]) -> None:
    assert codec.scan is not None
    assert codec.scan(*odd) is None


@is_built
@pytest.mark.parametrize("wrong", [(), (b"\x80",), (b"\x80", "1", 1, 1), (b"\x80", 1, None, 1)])
def test_wrong_arguments_are_an_error(wrong: tuple[Any, ...]) -> None:
    assert codec.scan is not None
    with pytest.raises(TypeError):
        codec.scan(*wrong)
