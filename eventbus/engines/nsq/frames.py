"""Frames: NSQ's protocol on the wire, without I/O. Bytes in, frames out. Of gnsq
are the constants, the rare commands and the error codes; what runs for each message is here.

A frame is a size, a type and its data (https://nsq.io/clients/tcp_protocol_spec.html). This file knows no socket and no
greenlet.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Generic, TypeVar

from gnsq import protocol
from gnsq.errors import ERROR_CODES

from eventbus.errors import EventBusError

RESPONSE, ERROR, MESSAGE = protocol.FRAME_TYPE_RESPONSE, protocol.FRAME_TYPE_ERROR, protocol.FRAME_TYPE_MESSAGE
HEARTBEAT, OK, CLOSE_WAIT = protocol.HEARTBEAT, protocol.OK, b"CLOSE_WAIT"
MESSAGE_HEADER = 26  # timestamp 8, attempts 2, id 16
_head = Struct(">ii").unpack_from
_message_head = Struct(">qH16s").unpack_from
_FIRST_BUFFER = 16 * 1024
_LARGEST_READ = 256 * 1024

T = TypeVar("T")


class ProtocolError(EventBusError):
    """Raised when the peer's bytes are not NSQ's protocol; says what they look like instead."""


class ServerError(EventBusError):
    """Raised when nsqd answers with an error; `code` is nsqd's, such as E_BAD_TOPIC."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code} {text}".strip())
        self.code = code
        self.text = text

    @property
    def is_fatal(self) -> bool:
        """Whether nsqd closes the connection after it; an unknown code counts as fatal."""
        known = ERROR_CODES.get(self.code.encode())
        return known is None or bool(known.fatal)


def read_error(data: bytes) -> ServerError:
    """Return the error in the data of an error frame."""
    code, _, text = data.decode("utf-8", "replace").partition(" ")
    return ServerError(code, text)


class FrameBuffer(Generic[T]):
    """Collects bytes and cuts frames out of them.

    Args:
        make_message: called with (nanoseconds, attempts, id, body) for each message frame.
        max_frame: largest frame in bytes; larger ones are no NSQ or an attack.
    """

    __slots__ = ("_buffer", "_end", "_make", "_max_frame", "_view")

    def __init__(self, make_message: Callable[[int, int, bytes, bytes], T], max_frame: int) -> None:
        self._make = make_message
        self._max_frame = max_frame
        self._buffer = bytearray(_FIRST_BUFFER)
        self._view = memoryview(self._buffer)
        self._end = 0

    def space(self) -> memoryview:
        """Return where the next bytes may be read into; never empty."""
        if self._end >= len(self._buffer):
            self._grow(len(self._buffer) * 2)
        return self._view[self._end :]

    def filled(self, count: int) -> None:
        """Take note of `count` bytes read into `space()`."""
        self._end += count
        if self._end == len(self._buffer) < _LARGEST_READ:
            self._grow(len(self._buffer) * 4)  # the peer has more than fits: read more at a time

    def feed(self, data: bytes) -> None:
        """Add bytes that were decrypted or decompressed elsewhere."""
        if self._end + len(data) > len(self._buffer):
            self._grow(max(self._end + len(data), len(self._buffer) * 2))
        self._view[self._end : self._end + len(data)] = data
        self._end += len(data)

    def _grow(self, size: int) -> None:
        larger = bytearray(size)
        larger[: self._end] = self._view[: self._end]
        self._buffer = larger
        self._view = memoryview(larger)

    def take(self) -> tuple[list[T], list[tuple[int, bytes]]]:
        """Cut out what is whole; return messages, and responses and errors as (type, data).

        Raises:
            ProtocolError: when the bytes are no NSQ frames.
        """
        buffer, view, end, make = self._buffer, self._view, self._end, self._make
        messages: list[T] = []
        others: list[tuple[int, bytes]] = []
        position = 0
        while end - position >= 8:
            size, kind = _head(buffer, position)
            following = position + 4 + size
            if kind == MESSAGE and following <= end and size >= 4 + MESSAGE_HEADER:
                timestamp, attempts, identifier = _message_head(buffer, position + 8)
                messages.append(make(timestamp, attempts, identifier, bytes(view[position + 34 : following])))
                position = following
                continue
            self._check(size, kind, position)
            if following > end:
                break
            others.append((kind, bytes(view[position + 8 : following])))
            position = following
        if position:
            self._drop(position)
        return messages, others

    def take_one(self) -> tuple[int, bytes] | None:
        """Cut out the first frame alone, as (type, data), once it is whole: what follows may be in another form.

        Raises:
            ProtocolError: when the bytes are no NSQ frame.
        """
        if self._end < 8:
            return None
        size, kind = _head(self._buffer, 0)
        self._check(size, kind, 0)
        if 4 + size > self._end:
            return None
        data = bytes(self._view[8 : 4 + size])
        self._drop(4 + size)
        return kind, data

    def take_rest(self) -> bytes:
        """Take out all bytes that are left."""
        rest = bytes(self._view[: self._end])
        self._end = 0
        return rest

    def _drop(self, size: int) -> None:
        rest = self._end - size
        self._view[:rest] = self._view[size : self._end]
        self._end = rest

    def _check(self, size: int, kind: int, position: int) -> None:
        if bytes(self._view[position : position + 4]) == b"HTTP":
            raise ProtocolError("the peer speaks HTTP: give nsqd's TCP port (4150), not its HTTP port (4151)")
        if not 4 <= size <= self._max_frame or kind not in (RESPONSE, ERROR, MESSAGE):
            raise ProtocolError(f"no NSQ frame (size {size:,}, type {kind}): is this an nsqd?")
        if kind == MESSAGE and size < 4 + MESSAGE_HEADER:
            raise ProtocolError("a message frame too short for its header")


def publish_frame(topic: bytes, body: bytes) -> bytes:
    """Return PUB: one message."""
    return b"PUB %b\n%b%b" % (topic, _size(len(body)), body)


def publish_many_frame(topic: bytes, bodies: list[bytes]) -> bytes:
    """Return MPUB: several messages, stored all or none where nsqd refuses one."""
    parts = [b"MPUB %b\n" % topic, b"", _size(len(bodies))]
    total = 4
    for body in bodies:
        parts.append(_size(len(body)))
        parts.append(body)
        total += 4 + len(body)
    parts[1] = _size(total)
    return b"".join(parts)


def publish_later_frame(topic: bytes, body: bytes, milliseconds: int) -> bytes:
    """Return DPUB: one message that nsqd holds back."""
    return b"DPUB %b %d\n%b%b" % (topic, milliseconds, _size(len(body)), body)


_size: Callable[[int], bytes] = Struct(">i").pack
Frame = tuple[int, bytes]
