"""Fuzz target: bytes at the decoder, for a bounded time of work. `python -m tests.fuzz.decoder --seconds 60`.

Mutates valid envelopes of both codecs and checks that nothing but a DecodeError comes out, quickly, and that what is read
can be written and read again.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from typing import Any

import msgpack

from eventbus import DecodeError, EncodeError
from eventbus.wire.codec import MsgpackCodec, decode

MAX_SECONDS = 2.0
_INTERESTING = [
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\x00\xff\xff\xff",
    b"\xc7\x0c\xff",
    b"\xd6\xff",
    b"\x80",
    b"\xc1",
    b"{",
    b"[" * 40,
]


def _tree(draw: random.Random, depth: int = 0) -> Any:
    kind = draw.randrange(8 if depth < 5 else 6)
    if kind == 6:
        return {f"k{index}": _tree(draw, depth + 1) for index in range(draw.randrange(5))}
    if kind == 7:
        return [_tree(draw, depth + 1) for _ in range(draw.randrange(5))]
    return [None, True, draw.randrange(-(2**63), 2**63), draw.random(), "é" * draw.randrange(40), "text"][kind]


def _seed(draw: random.Random) -> bytes:
    whole = {
        "specversion": "1.0",
        "id": "i",
        "source": "s",
        "type": "T",
        "time": "2026-01-31T12:00:00Z",
        "dataversion": 1,
        "correlationid": "c",
        "datacontenttype": "application/msgpack",
        "data": _tree(draw),
    }
    for name in ("causationid", "expirytime", "deliverat", "depth", "replayfor"):
        if draw.random() < 0.2:
            whole[name] = _tree(draw, 4)
    packed: bytes = msgpack.packb(whole)
    return packed if draw.random() < 0.7 else json.dumps(whole).encode()


def _mutate(draw: random.Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(draw.randrange(5)):
        at = draw.randrange(len(changed) + 1)
        change = draw.randrange(5)
        if change == 0 and changed:
            changed[at % len(changed)] = draw.randrange(256)
        elif change == 1:
            changed[at:at] = draw.choice(_INTERESTING)
        elif change == 2:
            del changed[at : at + draw.randrange(10)]
        elif change == 3:
            changed[at:at] = draw.randbytes(draw.randrange(10))
        else:
            changed[at:at] = changed[draw.randrange(len(changed) + 1) :][:50]
    return bytes(changed)


def fuzz(seconds: float, seed: int) -> tuple[int, int]:
    """Return how many bodies were thrown and how many of them were read; raises at the first fault.

    Seconds are those of the processor: what others do on the machine is not in them.
    """
    draw = random.Random(seed)
    codec = MsgpackCodec()
    ends = time.process_time() + seconds
    thrown = read = 0
    while time.process_time() < ends:
        body = _mutate(draw, _seed(draw))
        thrown += 1
        began = time.process_time()
        try:
            envelope = decode(body)
        except DecodeError:
            pass
        else:
            read += 1
            try:
                again = decode(codec.encode(envelope))
            except EncodeError:
                pass  # JSON may hold whole numbers beyond 64 bits
            else:
                assert again.data == envelope.data, body
        assert time.process_time() - began < MAX_SECONDS, body
    return thrown, read


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60.0)
    options.add_argument("--seed", type=int, default=random.randrange(2**32))
    given = options.parse_args()
    thrown, read = fuzz(given.seconds, given.seed)
    sys.stdout.write(f"seed {given.seed}: {thrown:,} bodies, {read:,} of them readable, no fault\n")


if __name__ == "__main__":
    main()
