"""Packing: msgpack bytes to a tree and back, by the fastest library at hand.

ormsgpack (the extra `eventbus[fast]`) writes the same bytes as msgpack, twice as fast, and is used where it is
installed. Each library has a plain reader here, which returns a tree only where it can prove that the limits hold,
and otherwise None; the careful reader in `codec.py` then decides.

What is proved, and how:

- depth: the bytes that can open a container, counted, are at most so many;
- no duplicate key: both libraries write the shortest form of everything, so a tree that packs to as many bytes as
  came in has lost no entry. Only a float of 32 bits could hide one, since it is written in 64;
- no NaN, no infinity: no byte that can open a float;
- no extension type and no key that is no text: ormsgpack refuses both; for msgpack, no byte that can open such a
  thing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack

try:
    import ormsgpack
except ImportError:  # the extra is not installed
    ormsgpack = None  # type: ignore[assignment]

LIBRARY = "msgpack" if ormsgpack is None else "ormsgpack"
"""What packs and unpacks here."""

# fixmap, fixarray, array 16/32, map 16/32: https://github.com/msgpack/msgpack/blob/master/spec.md
CONTAINERS = bytes([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF])
LONG_HEADS = bytes([0xDC, 0xDD, 0xDE, 0xDF])
# bin, ext, float, fixext: values that need a closer look
_SPECIAL = bytes([*range(0xC4, 0xCC), *range(0xD4, 0xD9)])
_PLAIN_BYTES = 65_536
"""Longest body for a plain reader: msgpack takes an array's memory when its head is read, up to the size of the body."""

Tree = Any
PlainReader = Callable[[bytes, int], Tree | None]


def read_plainly_with_msgpack(body: bytes, max_depth: int) -> Tree | None:
    """Return the tree in `body` where it is plain, else None; raises what msgpack raises."""
    size = len(body)
    if (
        size <= _PLAIN_BYTES
        and size - len(body.translate(None, CONTAINERS)) <= max_depth
        and len(body.translate(None, _SPECIAL)) == size
    ):
        tree = msgpack.unpackb(body)
        if len(msgpack.packb(tree)) == size:
            return tree
    return None


def read_plainly_with_ormsgpack(body: bytes, max_depth: int) -> Tree | None:
    """The same with ormsgpack."""
    size = len(body)
    if (
        b"\xcb" not in body
        and b"\xca" not in body
        and size <= _PLAIN_BYTES
        and size - len(body.translate(None, CONTAINERS)) <= max_depth
    ):
        tree = ormsgpack.unpackb(body)
        if len(ormsgpack.packb(tree)) == size:
            return tree
    return None


pack: Callable[[Tree], bytes]
read_plainly: PlainReader
if ormsgpack is None:
    pack, read_plainly = msgpack.packb, read_plainly_with_msgpack
else:
    pack, read_plainly = ormsgpack.packb, read_plainly_with_ormsgpack
