"""Fuzz target: the extension in C beside the careful reader in Python. `python -m tests.fuzz.scan --bodies 100000`;
`tests.fuzz.sanitized` does the same with one that watches its own memory.

Writes envelopes in every form that msgpack has for a value, odd ones too, changes some of their bytes, and gives each to
both under limits drawn anew. What the extension takes the careful reader must take, with the same values of the same types
in the same order; and whatever the bytes are, `decode` says of them what the careful reader says.
"""

from __future__ import annotations

import argparse
import random
import struct
import sys
from typing import Any

from eventbus import DecodeError
from eventbus.wire import codec
from eventbus.wire.codec import Limits, _read_carefully, decode
from eventbus.wire.envelope import Envelope, read_attributes
from eventbus.wire.sealed import HEAD

_ALWAYS = {
    "specversion": "1.0",
    "id": "01a2189f-805d-7f07-a8c4-97579167492e",
    "source": "orders",
    "type": "OrderPlaced",
    "time": "2026-01-31T12:00:00.000000Z",
    "datacontenttype": "application/msgpack",
    "dataversion": 1,
    "correlationid": "01a2189f-7ca7-7e48-97cd-65b1ae729473",
}
_SOMETIMES = (
    "causationid",
    "traceparent",
    "subject",
    "depth",
    "receiptto",
    "personal",
    "expirytime",
    "deliverat",
    "replayfor",
    "other",
)
_ODD: list[Any] = [
    *(
        "",
        "1.1",
        "é",
        "a\x00b",
        "\ud7ff",
        "x" * 255,
        "x" * 256,
        "x" * 1024,
        "x" * 1025,
        "1970-12-31",
        "9999",
        "1971",
        "zzzz",
    ),
    *(None, True, False, 0, 1, 2**31 - 1, 2**31, -1, -(2**63), 2**63, 2**64 - 1, 0.5, float("nan"), b"bytes", "12", [], {}),
]
_USUAL = [*(None, True, False, 0, 1, -1, 127, 128, -32, -33, 2**32, 2**63, -(2**63), 0.5, -0.0, 1e30), "", "text", "é", "12"]
_HEADS = [bytes([head]) for head in range(0x80, 0x100)]
_PIECES = [*_HEADS, b"\xdd\xff\xff\xff\xff", b"\xdf\x00\x00\x00\x01", b"\xdc\x04\x01", b"\xdb\xff\xff\xff\xff", b"\x91" * 40]
_OF_ONE = 100
"""Bodies made of one envelope: writing one takes longer than reading it."""
_FIELDS = (
    *("id", "source", "type", "time", "data", "correlation_id", "version", "causation_id", "traceparent", "subject"),
    *("depth", "extensions", "expires_at", "deliver_at", "replay_for", "prior_attempts"),
)


def _number(head: int, size: int, number: int) -> bytes:
    return bytes([head]) + number.to_bytes(size, "big", signed=number < 0)


def _counted(draw: random.Random, size: int, forms: list[tuple[int, int]], short: bytes | None) -> bytes:
    """Return a head with a length in one of the forms that are long enough for it, the short one oftenest."""
    if short is not None and draw.random() < 0.9:
        return short
    head, width = draw.choice([form for form in forms if size < 1 << 8 * form[1]])
    return _number(head, width, size)


def write(draw: random.Random, value: Any) -> bytes:
    """Return `value` in one of the forms that msgpack has for it. A list of pairs is a map, which may have a key twice."""
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        if -32 <= value < 128 and draw.random() < 0.7:
            return bytes([value & 0xFF])
        signed = [(0xD0 + n, 1 << n) for n in range(4) if -(1 << (8 << n) - 1) <= value < 1 << (8 << n) - 1]
        unsigned = [(0xCC + n, 1 << n) for n in range(4) if 0 <= value < 1 << (8 << n)]
        head, width = draw.choice(signed + unsigned)
        return bytes([head]) + (value % (1 << 8 * width)).to_bytes(width, "big")
    if isinstance(value, float):
        return b"\xca" + struct.pack(">f", value) if draw.random() < 0.3 else b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        short = bytes([0xA0 + len(data)]) if len(data) < 32 else None
        return _counted(draw, len(data), [(0xD9, 1), (0xDA, 2), (0xDB, 4)], short) + data
    if isinstance(value, bytes):
        return _counted(draw, len(value), [(0xC4, 1), (0xC5, 2), (0xC6, 4)], None) + value
    if isinstance(value, dict | tuple):
        pairs = list(value.items() if isinstance(value, dict) else value)
        head = _counted(draw, len(pairs), [(0xDE, 2), (0xDF, 4)], bytes([0x80 + len(pairs)]) if len(pairs) < 16 else None)
        return head + b"".join(write(draw, key) + write(draw, each) for key, each in pairs)
    short = bytes([0x90 + len(value)]) if len(value) < 16 else None
    return _counted(draw, len(value), [(0xDC, 2), (0xDD, 4)], short) + b"".join(write(draw, each) for each in value)


def _tree(draw: random.Random, depth: int = 0) -> Any:
    kind = draw.randrange(12 if depth < 6 else 6)
    if kind < 3:
        return draw.choice(_ODD if draw.random() < 0.1 else _USUAL)
    if kind < 6:
        return [draw.randrange(-(2**63), 2**64), draw.random() * 1e9, "é" * draw.randrange(40)][kind - 3]
    if kind < 9:
        pairs = [(f"field{draw.randrange(8)}", _tree(draw, depth + 1)) for _ in range(draw.randrange(5))]
        return tuple(pairs) if draw.random() < 0.1 else dict(pairs)
    if kind == 9 and draw.random() < 0.05:
        return [0] * draw.choice([1023, 1024, 1025, 5000])
    return [_tree(draw, depth + 1) for _ in range(draw.randrange(4))]


def seed(draw: random.Random) -> bytes:
    """Return an envelope; most are plain, and some have an attribute too much, too little, twice or with an odd value."""
    pairs: list[tuple[Any, Any]] = list(_ALWAYS.items())
    pairs += [(name, 3 if name == "depth" else "orders-receipts") for name in _SOMETIMES if draw.random() < 0.2]
    if draw.random() < 0.25:
        place = draw.randrange(len(pairs))
        pairs[place] = (pairs[place][0], draw.choice(_ODD))
    if draw.random() < 0.1:
        del pairs[draw.randrange(len(pairs))]
    if draw.random() < 0.05:
        pairs.append(draw.choice(pairs))
    if draw.random() < 0.3:
        draw.shuffle(pairs)
    data = {f"field{index}": _tree(draw) for index in range(draw.randrange(5))}
    pairs.insert(draw.randrange(len(pairs) + 1) if draw.random() < 0.3 else len(pairs), ("data", data))
    return write(draw, tuple(pairs))


def mutate(draw: random.Random, body: bytes) -> bytes:
    """Return a body with a byte or a few changed, taken or put in."""
    at = int(draw.random() * (len(body) + 1))
    change = draw.random()
    if change < 0.25:
        return body[:at] + b"a" + body[at + 1 :]
    if change < 0.4:
        return body[:at] + draw.choice(_HEADS) + body[at + 1 :]
    if change < 0.6:
        return body[:at] + draw.choice(_PIECES) + body[at:]
    if change < 0.8:
        return body[:at] + body[at + int(draw.random() * 4) :]
    if change < 0.9:
        return body[:at] + bytes([int(draw.random() * 256)]) + body[at + 1 :]
    other = int(draw.random() * (len(body) + 1))
    return body[:at] + body[other : other + 20] + body[at:]


def _limits(draw: random.Random) -> Limits:
    if draw.random() < 0.8:
        return Limits()
    numbers = [0, 1, 2, 3, 5, 10, 1024, 10**30]
    return Limits(*(draw.choice(numbers[1:]) * 100, draw.choice(numbers), draw.choice(numbers), draw.choice(numbers)))


def told(envelope: Envelope) -> str:
    """Return all that an envelope says; texts differ where values, their types or their order do."""
    return repr([getattr(envelope, name) for name in _FIELDS])


def compare(body: bytes, limits: Limits) -> tuple[bool, bool]:
    """Return whether the careful reader and whether the extension took it.

    Raises:
        AssertionError: they are not of one mind.
    """
    scan = codec.scan
    assert scan is not None
    reason = carefully = None
    try:
        carefully = told(read_attributes(_read_carefully(body, limits)))
    except Exception as error:  # whatever it is: of these bytes
        reason = error.reason if isinstance(error, DecodeError) else type(error).__name__
    found = scan(body, limits.max_depth, limits.max_containers, limits.max_items) if len(body) <= limits.max_bytes else None
    if found is not None:
        assert told(Envelope(*found)) == carefully, (body, limits, reason)
    try:
        as_read = told(decode(body, limits))
    except DecodeError as error:
        is_told = not body or body[0] == HEAD or reason in error.reason  # a signed message is not this reader's
        assert carefully is None and is_told, (body, limits, error.reason)
    else:
        assert as_read == carefully, (body, limits)
    return carefully is not None, found is not None


def fuzz(bodies: int, number: int) -> tuple[int, int]:
    """Return how many of so many bodies the careful reader and how many the extension took; raises at the first fault."""
    draw = random.Random(number)
    read = scanned = 0
    for place in range(bodies):
        if place % _OF_ONE == 0:
            origin = body = seed(draw)
            limits = _limits(draw)
        else:
            body = mutate(draw, origin if draw.random() < 0.9 else body)
        was_read, was_scanned = compare(body, limits)
        read += was_read
        scanned += was_scanned
    return read, scanned


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--bodies", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = options.parse_args()
    if codec.scan is None:
        sys.exit("the extension is not built: pip install --no-build-isolation --no-deps --editable .")
    read, scanned = fuzz(given.bodies, given.seed)
    sys.stdout.write(f"seed {given.seed}: {given.bodies:,} bodies, {read:,} readable, {scanned:,} read in C, all alike\n")


if __name__ == "__main__":
    main()
