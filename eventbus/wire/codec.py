"""Codec: envelope to bytes and back; msgpack by default, CloudEvents JSON as the other.

A reader tells them apart by the first byte: `{` opens JSON, a map header msgpack, and an array a signed message that holds
one of the two (`sealed.py`). Whatever the bytes are,
`decode` returns an envelope or raises `DecodeError`, within limits that are checked before and while decoding.

Three readers stand one behind the other, each for what the one before leaves. The extension in C, where it was built
(`scanning.py`), takes an envelope and all its limits in one pass. For messages that are small and plain `packing.py`
proves the limits without looking at every value. Whatever neither takes (attributes of others, many containers, other
writers' longer forms) is decoded here, with hooks, and walked: this reader has the last word, and names what is wrong.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

import msgpack

from eventbus.errors import DecodeError, EncodeError
from eventbus.wire.copies import follow, seal_copy
from eventbus.wire.dumping import dump
from eventbus.wire.envelope import Envelope, read_attributes, read_plain_attributes
from eventbus.wire.limits import DEFAULT_LIMITS, Limits, walk
from eventbus.wire.packing import CONTAINERS, LONG_HEADS, pack, read_plainly
from eventbus.wire.scanning import scan
from eventbus.wire.sealed import HEAD, read_seal

__all__ = [
    "CODECS",
    "DEFAULT_LIMITS",
    "JSON",
    "MSGPACK",
    "Codec",
    "JsonCodec",
    "Limits",
    "MsgpackCodec",
    "decode",
    "dump",
    "rewrite",
]

MSGPACK = "application/msgpack"
JSON = "application/json"
SMALL = 65_536
"""Bytes of a body that cannot pass a limit of counts."""
_SEALED = bytes([HEAD])
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


def decode(body: bytes, limits: Limits = DEFAULT_LIMITS) -> Envelope:
    """Return the envelope in `body`.

    Raises:
        DecodeError: for any bytes that are no valid envelope within `limits`; never anything else.
    """
    try:
        if scan is not None and len(body) <= limits.max_bytes:
            found = scan(body, limits.max_depth, limits.max_containers, limits.max_items)
            if found is not None:
                return Envelope(*found)
        is_bounded = limits.max_containers >= limits.max_depth and limits.max_items >= SMALL  # or the bytes prove too little
        if is_bounded and len(body) <= limits.max_bytes and body[0] in _MAP_HEADS:
            try:
                tree = read_plainly(body, limits.max_depth)
            except Exception:  # the careful reader says why, in the same words whichever library reads plainly
                tree = None
            if tree is not None:
                # the tree is proven whichever of the two reads its attributes
                return read_plain_attributes(tree) or read_attributes(tree)
        if body[:1] == _SEALED:
            return _decode_sealed(body, limits)
        tree = _read_carefully(body, limits)
        return read_plain_attributes(tree) or read_attributes(tree)
    except DecodeError as error:
        error.body = body
        raise
    except Exception as error:  # whatever a decoder raises about bytes is about the bytes
        raise DecodeError(_describe(body, error), body=body) from error


def _decode_sealed(body: bytes, limits: Limits) -> Envelope:
    if len(body) > limits.max_bytes:
        raise _too_long(body, limits)
    seal = read_seal(body)
    envelope = decode(seal.body, limits)
    envelope.seal = seal
    if seal.steer is not None:
        follow(envelope, seal.steer)
    return envelope


def rewrite(envelope: Envelope, original: bytes) -> bytes:
    """Return the bytes of an envelope that was read from `original` and steers otherwise now.

    Raises:
        EncodeError: a value cannot be written.
    """
    if envelope.seal is not None:
        return seal_copy(envelope.seal, envelope)
    return CODECS["json" if original[:1] == b"{" else "msgpack"]().encode(envelope)


def check_counts(body: bytes, event_name: str) -> None:
    """Make sure that a body of more than `SMALL` bytes is within what readers take.

    Raises:
        EncodeError: it has too many maps, arrays or entries.
    """
    if body[0] == 0x7B:
        is_proved = body.count(b"{") + body.count(b"[") <= SMALL and body.count(b",") < DEFAULT_LIMITS.max_items
    else:
        is_proved = len(body) - len(body.translate(None, CONTAINERS)) <= SMALL and (
            len(body) <= DEFAULT_LIMITS.max_items or not (b"\xdd" in body or b"\xdf" in body)
        )
    if not is_proved:
        try:
            _read_carefully(body, DEFAULT_LIMITS)
        except Exception as error:  # as in `decode`
            reason = error.reason if isinstance(error, DecodeError) else _describe(body, error)
            raise EncodeError(f"{event_name}: no reader takes it: {reason}", event_name=event_name) from None


def _read_carefully(body: bytes, limits: Limits) -> dict[str, Any]:
    if len(body) > limits.max_bytes:
        raise _too_long(body, limits)
    first = body[0]
    if first in _MAP_HEADS:
        return _read_msgpack_carefully(body, limits)
    if first == 0x7B:
        return _read_json(body, limits)
    raise DecodeError(f"the first byte is 0x{first:02x}: neither a msgpack map nor a JSON object")


def _too_long(body: bytes, limits: Limits) -> DecodeError:
    return DecodeError(f"{len(body):,} bytes, and the limit is {limits.max_bytes:,}")


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
    walk(tree, limits)
    return tree


def _read_json(body: bytes, limits: Limits) -> dict[str, Any]:
    if body.count(b"{") + body.count(b"[") > limits.max_containers:
        raise DecodeError(f"more than {limits.max_containers:,} objects and arrays")
    tree: dict[str, Any] = json.loads(body, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
    walk(tree, limits)
    if "data_base64" in tree:
        tree["data"] = _read_binary_data(tree, limits)
    return tree


def _read_binary_data(tree: dict[str, Any], limits: Limits) -> Any:
    """Return what `data_base64` holds, which CloudEvents' JSON format has for data that the writer had as bytes."""
    text, content_type = tree.pop("data_base64"), tree.get("datacontenttype") or JSON
    if "data" in tree or type(text) is not str or type(content_type) is not str:
        raise DecodeError("data_base64 is no text, or data stand beside it")
    try:
        inner = base64.b64decode(text, validate=True)
    except ValueError:
        raise DecodeError("data_base64 is no base64") from None
    kind = content_type.split(";")[0].strip().lower()
    if kind == MSGPACK:
        return _read_msgpack_carefully(inner, limits)
    if kind == JSON or kind.endswith("+json"):
        data = json.loads(inner, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
        walk([data], limits)
        return data
    raise DecodeError(f"data_base64 holds {content_type[:100]!r}: only JSON and msgpack are read")


def _without_duplicates(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise DecodeError("a map has the same key twice, and two readers could take different values")
    return read


def _refuse_ext(code: int, _data: bytes) -> NoReturn:
    raise DecodeError(f"msgpack extension type {code}: only JSON types are allowed")


def _refuse_constant(name: str) -> NoReturn:
    raise DecodeError(f"{name} is no JSON number")
