"""Codec: envelope to bytes and back; msgpack by default, CloudEvents JSON as the other.

A reader tells the two apart by the first byte: `{` opens JSON, a map header opens msgpack. Whatever the bytes are,
`decode` returns an envelope or raises `DecodeError`, within limits that are checked before and while decoding.

Most messages are small and plain, and for those `packing.py` proves the limits without looking at every value.
Whatever is not proved there (floats, binary, many containers, other writers' longer forms) is decoded again here,
with hooks, and walked.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, NoReturn, Protocol

import msgpack
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from eventbus.errors import DecodeError, EncodeError
from eventbus.wire.envelope import Envelope, read_attributes, read_plain_attributes
from eventbus.wire.packing import LONG_HEADS, pack, read_plainly

MEBIBYTE = 1024 * 1024
MSGPACK = "application/msgpack"
JSON = "application/json"


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

_MAP_HEADS = frozenset([*range(0x80, 0x90), 0xDE, 0xDF])


class Codec(Protocol):
    """Writes envelopes; any codec's bytes are read by `decode`. Pure and safe to share."""

    name: str

    def encode(self, envelope: Envelope) -> bytes:
        """Return the bytes of `envelope`; raises EncodeError where a value cannot be written."""
        ...


class MsgpackCodec:
    """The default: one msgpack map, small and fast."""

    name = "msgpack"

    def encode(self, envelope: Envelope) -> bytes:
        try:
            return pack(envelope.attributes(MSGPACK))
        except Exception as error:  # msgpack's errors are not one family: OverflowError, TypeError, ValueError
            raise _unwritable(envelope, error) from error


class JsonCodec:
    """CloudEvents' JSON format (cloudevents/spec, formats/json-format.md), read by its SDKs."""

    name = "json"

    def encode(self, envelope: Envelope) -> bytes:
        try:
            text = json.dumps(envelope.attributes(JSON), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            return text.encode("utf-8")
        except Exception as error:
            raise _unwritable(envelope, error) from error


CODECS: dict[str, Callable[[], Codec]] = {"msgpack": MsgpackCodec, "json": JsonCodec}


def _unwritable(envelope: Envelope, error: Exception) -> EncodeError:
    return EncodeError(
        f"{envelope.type}: a value cannot be written: {error}; use JSON types and whole numbers within 64 bits",
        event_name=envelope.type,
    )


def dump(event: BaseModel) -> Any:
    """Return the data of an event as JSON types (UUID, Decimal and datetime as text).

    Raises:
        EncodeError: when a field holds what pydantic cannot serialise.
    """
    try:
        return type(event).__pydantic_serializer__.to_python(event, mode="json")
    except PydanticSerializationError as error:
        name = type(event).__name__
        raise EncodeError(f"{name}: {error}; give the field a type that JSON has", event_name=name) from error


def decode(body: bytes, limits: Limits = DEFAULT_LIMITS) -> Envelope:
    """Return the envelope in `body`.

    Raises:
        DecodeError: for any bytes that are no valid envelope within `limits`; never anything else.
    """
    try:
        if len(body) <= limits.max_bytes and body[0] in _MAP_HEADS:
            tree = read_plainly(body, limits.max_depth)
            if tree is not None:
                # the tree is proven whichever of the two reads its attributes
                return read_plain_attributes(tree) or read_attributes(tree)
        return read_attributes(_read_carefully(body, limits))
    except DecodeError as error:
        error.body = body
        raise
    except Exception as error:  # whatever a decoder raises about bytes is about the bytes
        raise DecodeError(_describe(body, error), body=body) from error


def _read_carefully(body: bytes, limits: Limits) -> dict[str, Any]:
    if len(body) > limits.max_bytes:
        raise DecodeError(f"{len(body):,} bytes, and the limit is {limits.max_bytes:,}")
    first = body[0]
    if first in _MAP_HEADS:
        return _read_msgpack_carefully(body, limits)
    if first == 0x7B:
        return _read_json(body, limits)
    raise DecodeError(f"the first byte is 0x{first:02x}: neither a msgpack map nor a JSON object")


def _describe(body: bytes, error: Exception) -> str:
    return f"not readable: {type(error).__name__}" if body else "no bytes at all"


def _read_msgpack_carefully(body: bytes, limits: Limits) -> dict[str, Any]:
    seen = 0

    def count() -> None:
        nonlocal seen
        seen += 1
        if seen > limits.max_containers:
            raise DecodeError(f"more than {limits.max_containers:,} maps and arrays")

    def read_map(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
        count()
        return _without_duplicates(pairs)

    def read_list(items: list[Any]) -> list[Any]:
        count()
        return items

    size = len(body)
    # an array's memory is taken when its head is read; nested heads that each claim the rest of the body would take its
    # square, so the more long heads there can be, the less each may claim
    heads = size - len(body.translate(None, LONG_HEADS))
    items = min(size, limits.max_items, max(1024, 4 * size // max(heads, 1)))
    tree: dict[str, Any] = msgpack.unpackb(
        body,
        object_pairs_hook=read_map,
        list_hook=read_list,
        ext_hook=_refuse_ext,
        timestamp=0,
        max_array_len=items,
        max_map_len=items,
        max_str_len=size,
        max_bin_len=size,
        max_ext_len=16,
    )
    _walk(tree, limits)
    return tree


def _read_json(body: bytes, limits: Limits) -> dict[str, Any]:
    if body.count(b"{") + body.count(b"[") > limits.max_containers:
        raise DecodeError(f"more than {limits.max_containers:,} objects and arrays")
    tree: dict[str, Any] = json.loads(body, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    _walk(tree, limits)
    return tree


def _without_duplicates(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise DecodeError("a map has the same key twice, and two readers could take different values")
    return read


def _refuse_ext(code: int, _data: bytes) -> NoReturn:
    raise DecodeError(f"msgpack extension type {code}: only JSON types are allowed")


def _refuse_constant(name: str) -> NoReturn:
    raise DecodeError(f"{name} is no JSON number")


_SCALARS = (str, bool, int, type(None), bytes)


def _walk(tree: Any, limits: Limits) -> None:
    """Check depth, key types and numbers, level by level and without recursion."""
    level: list[Any] = [tree]
    depth = 0
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
                    raise DecodeError("only JSON types are allowed")
                elif not isfinite(value):
                    raise DecodeError("NaN and infinities are no JSON numbers")
        level = below
