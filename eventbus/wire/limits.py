"""Limits: what a reader accepts, and so what a writer may send."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

from eventbus.errors import DecodeError

MEBIBYTE = 1024 * 1024
RESERVE = 4096
"""Bytes kept free in every event, so that its dead letter still fits into a message."""
LONGEST_WAIT = 400 * 86400.0
"""Seconds for which an event may wait for its time. A copy of it goes round once an hour and channel meanwhile, so that
without an end whoever may publish could make brokers work for ever."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a reader accepts.

    Attributes:
        max_bytes: size of a whole message in bytes; nsqd's own default.
        max_depth: maps and arrays inside one another, the envelope's map included.
        max_containers: maps and arrays in all, empty ones too: an empty map is 1 byte on the wire and 64 in memory.
        max_items: entries of one map or array.
    """

    max_bytes: int = MEBIBYTE
    max_depth: int = 32
    max_containers: int = 65_536
    max_items: int = 131_072


DEFAULT_LIMITS = Limits()

_SCALARS = (str, bool, int, type(None), bytes)


def walk(tree: Any, limits: Limits, depth: int = 0) -> None:
    """Check depth, key types and numbers, level by level and without recursion; `depth` is how deep the tree lies."""
    level: list[Any] = [tree]
    while level:
        depth += 1
        if depth > limits.max_depth:
            raise DecodeError(f"maps and arrays deeper than {limits.max_depth}")
        below: list[Any] = []
        for container in level:
            if isinstance(container, dict):
                if len(container) > limits.max_items:
                    raise DecodeError(f"a map with more than {limits.max_items:,} entries")
                for key in container:
                    if type(key) is not str:
                        raise DecodeError("a map has a key that is no text")
                values: Any = container.values()
            else:
                values = container
            for value in values:
                if type(value) in _SCALARS:
                    continue
                if isinstance(value, dict | list):
                    below.append(value)
                elif not isinstance(value, float):
                    raise DecodeError("an extension type, such as a timestamp of msgpack: only JSON types are allowed")
                elif not isfinite(value):
                    raise DecodeError("NaN and infinities are no JSON numbers")
        level = below
