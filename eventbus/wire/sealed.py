"""Sealed: the outer form of a signed message, around the envelope's bytes as its origin wrote them.

A msgpack array of five: version of the form, id of the key, signature, steering, envelope. An envelope itself is a map or
JSON, so the first byte tells them apart, and who does not sign pays nothing. Nothing here knows keys: whether a signature
is right is for `eventbus.signing` to say.

What steers a copy on its way (for which channel, after how many attempts, when it is due) is said beside the envelope and
signed by whoever made the copy: the origin's proof goes on with it. docs/wire-format.md has it for other languages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgpack

from eventbus.errors import DecodeError
from eventbus.wire.packing import pack

HEAD = 0x95
"""First byte of what is sealed: an array of five."""
VERSION = 1
MAX_KEY_LENGTH = 64
MAX_SIGNATURE_LENGTH = 64
_MAX_STEERING = 2048
KEY_ID = re.compile("[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Steer:
    """What whoever made a copy says of its way.

    Attributes:
        key, signature: whose word it is; both empty where nobody signed it.
        said: a msgpack map of attributes; it replaces all of those in the envelope that steer.
    """

    key: str
    signature: bytes
    said: bytes


@dataclass(slots=True)
class Seal:
    """A signed message. Treated as frozen once made: one is made for each delivery, and a frozen class takes three times as
    long.

    Attributes:
        key: id of the key.
        signature: of topic and body.
        steer: of a copy; None for what came from its origin.
        body: the envelope's bytes.
    """

    key: str
    signature: bytes
    steer: Steer | None
    body: bytes


def write_seal(seal: Seal) -> bytes:
    """Return the bytes of a signed message."""
    steer = seal.steer
    said = None if steer is None else pack([steer.key, steer.signature, steer.said])
    return pack([VERSION, seal.key, seal.signature, said, seal.body])


def read_seal(body: bytes) -> Seal:
    """Return what is in the bytes of a signed message.

    Raises:
        DecodeError: they are none.
    """
    found = _read_plainly(body)
    if found is not None:
        return found
    version, key, signature, said, inner = _array(body, 5, "signed message")
    if version != VERSION or type(version) is not int:
        raise DecodeError(f"signed message of form {str(version)[:20]}; this reader knows form {VERSION}")
    _check_proof(key, signature)
    if type(inner) is not bytes or not inner or inner[0] == HEAD:
        raise DecodeError("signed message: holds no envelope")
    if said is None:
        return Seal(key, signature, None, inner)
    if type(said) is not bytes or len(said) > _MAX_STEERING:
        raise DecodeError("signed message: its steering is not readable")
    who, proof, attributes = _array(said, 3, "steering")
    if who or proof:
        _check_proof(who, proof)
    if type(attributes) is not bytes or type(who) is not str or type(proof) is not bytes:
        raise DecodeError("signed message: its steering is not readable")
    return Seal(key, signature, Steer(who, proof, attributes), inner)


def _read_plainly(body: bytes) -> Seal | None:
    """Return the message where it has the form that this library writes for an event, signed in 32 bytes; else None."""
    start = 3 + (body[2] & 0x1F) if len(body) > 64 else 0
    head = body[: start + 2]
    key = _heads.get(head)
    if key is None:
        return _read_plainly(body) if start and _note_head(head) else None
    at = start + 34
    if body[at] != 0xC0:
        return None
    kind = body[at + 1]
    if kind == 0xC5:
        size, at = body[at + 2] << 8 | body[at + 3], at + 4
    elif kind == 0xC4:
        size, at = body[at + 2], at + 3
    else:
        return None
    inner = body[at:]
    if len(inner) != size or not size or inner[0] == HEAD:
        return None
    return Seal(key, body[start + 2 : start + 34], None, inner)


_heads: dict[bytes, str] = {}
"""Beginnings of messages up to the signature's length, with the key that each names."""
_MOST_HEADS = 1000


def _note_head(head: bytes) -> bool:
    """Learn a beginning; return whether it is one: array, version, a short text, 32 bytes of binary."""
    if head[:2] != b"\x95\x01" or head[2] >> 5 != 5 or head[-2:] != b"\xc4\x20":
        return False
    try:
        key = head[3:-2].decode("ascii")
    except UnicodeDecodeError:
        return False
    if KEY_ID.fullmatch(key) is None:
        return False
    if len(_heads) >= _MOST_HEADS:  # whoever may write could invent keys without an end
        _heads.clear()
    _heads[head] = key
    return True


def read_steering(steer: Steer) -> dict[str, Any]:
    """Return the attributes that steer, as they stand.

    Raises:
        DecodeError: they are no map of attributes.
    """
    try:
        said = msgpack.unpackb(steer.said, timestamp=0)
    except Exception:
        raise DecodeError("signed message: its steering is not readable") from None
    if type(said) is not dict:
        raise DecodeError("signed message: its steering is not readable")
    return said


def _array(body: bytes, length: int, what: str) -> list[Any]:
    try:
        found = msgpack.unpackb(body, timestamp=0, max_array_len=length, max_map_len=0, max_ext_len=0)
    except Exception:
        raise DecodeError(f"{what}: not readable") from None
    if type(found) is not list or len(found) != length:
        raise DecodeError(f"{what}: not readable")
    return found


def _check_proof(key: Any, signature: Any) -> None:
    if type(key) is not str or KEY_ID.fullmatch(key) is None:
        raise DecodeError("signed message: the id of its key has no shape of one")
    if type(signature) is not bytes or not 16 <= len(signature) <= MAX_SIGNATURE_LENGTH:
        raise DecodeError("signed message: its signature has no shape of one")
