"""Frames: NSQ's protocol on the wire, without I/O. Bytes in, frames out. Of gnsq
are the constants, the rare commands and the error codes; what runs for each message is here.

A frame is a size, a type and its data (https://nsq.io/clients/tcp_protocol_spec.html). This file knows no socket and no
greenlet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Generic, TypeVar

from gnsq import protocol
from gnsq.errors import ERROR_CODES

from eventbus.engines.nsq.schema import peer_text
from eventbus.errors import EventBusError
from eventbus.runtime.redaction import one_line

RESPONSE, ERROR, MESSAGE = protocol.FRAME_TYPE_RESPONSE, protocol.FRAME_TYPE_ERROR, protocol.FRAME_TYPE_MESSAGE
HEARTBEAT, OK, CLOSE_WAIT = protocol.HEARTBEAT, protocol.OK, b"CLOSE_WAIT"
MESSAGE_HEADER = 26  # timestamp 8, attempts 2, id 16
_head = Struct(">ii").unpack_from
_message_head = Struct(">qH16s").unpack_from
_heads = Struct(">iiqH16s").unpack_from
"""Both at once: of a message, which most frames are."""
_HEADS = 34
_FIRST_BUFFER = 16 * 1024
_LARGEST_READ = 256 * 1024
_READ_OF_ERROR = 4096
_LONGEST = 2**31 - 1
HEAD = 64 * 1024
"""Bytes that are kept of a message too long to be read."""

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
    """Return the error in the data of an error frame, however long, in a few words."""
    code, _, text = data[:_READ_OF_ERROR].decode("utf-8", "replace").partition(" ")
    return ServerError(one_line(code, most=40), peer_text(text))


def check_head(head: bytes, size: int, kind: int, most: int) -> None:
    """Return if a frame may begin so.

    Raises:
        ProtocolError: when the bytes are no NSQ frame; says what they look like instead.
    """
    if head == b"HTTP":
        raise ProtocolError("the peer speaks HTTP: give nsqd's TCP port (4150), not its HTTP port (4151)")
    if not 4 <= size <= most or kind not in (RESPONSE, ERROR, MESSAGE):
        raise ProtocolError(f"no NSQ frame (size {size:,}, type {kind}): is this an nsqd?")
    if kind == MESSAGE and size < 4 + MESSAGE_HEADER:
        raise ProtocolError("a message frame too short for its header")


class FrameBuffer(Generic[T]):
    """Collects bytes and cuts frames out of them. Grows with the frames that come, and shrinks when they are small again.

    Args:
        make_message: called with (nanoseconds, attempts, id, body) for each message frame.
        max_frame: largest frame in bytes that is kept whole. Of a larger message the head is kept and the rest passed over;
            a larger answer is no NSQ or an attack.
        make_cut: called with (nanoseconds, attempts, id, head, length) for the head of a larger message.
    """

    __slots__ = ("_buffer", "_end", "_make", "_make_cut", "_max_frame", "_peak", "_skip", "_view")

    def __init__(
        self,
        make_message: Callable[[int, int, bytes, bytes], T],
        max_frame: int,
        make_cut: Callable[[int, int, bytes, bytes, int], T] | None = None,
    ) -> None:
        self._make = make_message
        self._make_cut = make_cut
        self._max_frame = max_frame
        self._buffer = bytearray(_FIRST_BUFFER)
        self._view = memoryview(self._buffer)
        self._end = 0
        self._peak = 0
        self._skip = 0

    def space(self) -> memoryview:
        """Return where the next bytes may be read into; never empty."""
        if self._end >= len(self._buffer):
            self._resize(len(self._buffer) * 2)
        return self._view[self._end :]

    def filled(self, count: int) -> None:
        """Take note of `count` bytes read into `space()`."""
        self._end += count
        if self._end == len(self._buffer) < _LARGEST_READ:
            self._resize(len(self._buffer) * 4)  # the peer has more than fits: read more at a time
        if self._skip:
            self._pass_over()

    def feed(self, data: bytes) -> None:
        """Add bytes that were decrypted or decompressed elsewhere."""
        if self._end + len(data) > len(self._buffer):
            self._resize(max(self._end + len(data), len(self._buffer) * 2))
        self._view[self._end : self._end + len(data)] = data
        self._end += len(data)
        if self._skip:
            self._pass_over()

    def _pass_over(self) -> None:
        """Forget the rest of a message that is too long. It lies at the begin, since all before it was taken."""
        passed = min(self._skip, self._end)
        self._skip -= passed
        self._end -= passed
        self._view[: self._end] = self._view[passed : passed + self._end]

    def _resize(self, size: int) -> None:
        other = bytearray(size)
        other[: self._end] = self._view[: self._end]
        self._buffer = other
        self._view = memoryview(other)

    @property
    def size(self) -> int:
        """Bytes of memory that it takes."""
        return len(self._buffer)

    def shrink(self) -> None:
        """Give memory back where all that came since the last call was small; called once in a while."""
        wanted = max(2 * self._peak, self._end, _FIRST_BUFFER)
        if len(self._buffer) > 2 * wanted:
            self._resize(wanted)
        self._peak = self._end

    def take(self) -> tuple[list[T], list[tuple[int, bytes]]]:
        """Cut out what is whole; return messages, and responses and errors as (type, data).

        Raises:
            ProtocolError: when the bytes are no NSQ frames.
        """
        buffer, view, end, make = self._buffer, self._view, self._end, self._make
        messages: list[T] = []
        others: list[tuple[int, bytes]] = []
        position = 0
        if end > self._peak:
            self._peak = end
        while end - position >= 8:
            if end - position >= _HEADS:
                size, kind, timestamp, attempts, identifier = _heads(buffer, position)
                following = position + 4 + size
                if kind == MESSAGE and following <= end and size >= 4 + MESSAGE_HEADER:
                    messages.append(make(timestamp, attempts, identifier, view[position + _HEADS : following].tobytes()))
                    position = following
                    continue
            else:
                size, kind = _head(buffer, position)
                following = position + 4 + size
            is_cut = kind == MESSAGE and size > self._max_frame and self._make_cut is not None
            check_head(bytes(view[position : position + 4]), size, kind, _LONGEST if is_cut else self._max_frame)
            if is_cut:
                if end - position < _HEADS + HEAD:
                    break
                messages.append(self._cut(position, size - 4 - MESSAGE_HEADER))
                self._skip = following - end
                position = end
                break
            if following > end:
                break
            others.append((kind, bytes(view[position + 8 : following])))
            position = following
        if position:
            rest = end - position
            view[:rest] = view[position:end]
            self._end = rest
        return messages, others

    def _cut(self, position: int, length: int) -> T:
        assert self._make_cut is not None
        timestamp, attempts, identifier = _message_head(self._buffer, position + 8)
        head = bytes(self._view[position + _HEADS : position + _HEADS + HEAD])
        return self._make_cut(timestamp, attempts, identifier, head, length)


def publish_frame(topic: bytes, body: bytes) -> bytes:
    """Return PUB: one message."""
    return b"PUB %b\n%b%b" % (topic, _size(len(body)), body)


def publish_many_frame(topic: bytes, bodies: Sequence[bytes]) -> bytes:
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
