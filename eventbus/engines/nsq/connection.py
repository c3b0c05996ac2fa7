"""Connection: one TCP connection to an nsqd, after its handshake.

Theory of operation. Nothing here blocks and no greenlet is needed: the hub calls `_readable` when bytes are there and
`_writable` when the socket takes more. Whoever has something to send calls `send`, which writes what the socket takes
at once and keeps the rest, so that a greenlet that is killed or timed out can never leave half a frame. Whatever goes
wrong, with the socket, the protocol or the peer's silence, ends in one call of `on_down(reason)`.

    state    event                         next     what happens
    OPEN     bytes                         OPEN     frames are cut out; heartbeats answered here, the rest handed on
    OPEN     silence of 2.5 heartbeats     CLOSED   on_down
    OPEN     error, end of stream          CLOSED   on_down
    OPEN     close()                       CLOSED   nothing: it was asked for
    CLOSED   anything                      CLOSED   nothing
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from gevent.hub import get_hub

from eventbus.engines.nsq.addresses import Address
from eventbus.engines.nsq.frames import ERROR, HEARTBEAT, Frame, FrameBuffer, ProtocolError
from eventbus.engines.nsq.handshake import Session
from eventbus.engines.nsq.layers import Layer
from eventbus.runtime.forks import cut_off
from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.nsq")

_READ, _WRITE = 1, 2
_NOP = b"NOP\n"


class Connection:
    """One open connection; subclasses handle messages and answers.

    Args:
        session: the socket and all that the handshake agreed.
        on_down: called once with the reason when the connection ends without `close`.
    """

    def __init__(self, session: Session, on_down: Callable[[Exception], None]) -> None:
        self.address: Address = session.address
        self.peer = session.peer
        self.features = session.features
        self.is_open = True
        self.last_read = time.monotonic()
        self._socket: Any = session.socket
        self._raw: Any = session.socket._sock  # gevent's socket would wait; the one below it says "not now"
        self._layers: Sequence[Layer] = session.layers
        self._frames: FrameBuffer[Any] = session.frames
        self._on_down = on_down
        self._out = bytearray()
        loop = get_hub().loop
        self._reader: Any = loop.io(session.socket.fileno(), _READ)
        self._writer: Any = loop.io(session.socket.fileno(), _WRITE)

    def begin(self) -> None:
        """Start reading; first what came with the handshake."""
        self._reader.start(self._readable)
        self._deliver(0)

    # -- to be overridden ---------------------------------------------------------------------------------------------

    def on_messages(self, messages: list[Any], size: int) -> None:
        """Take messages that came in one read of `size` bytes."""

    def on_answer(self, frame: Frame) -> None:
        """Take a response or error."""

    def on_closed(self, reason: Exception) -> None:
        """Settle what waits for answers."""

    # -- reading ------------------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            if self._layers:
                data = self._raw.recv(65536)
                size = len(data)
                if data:
                    for layer in self._layers:
                        data = layer.decode(data)
                    self._frames.feed(data)
            else:
                size = self._raw.recv_into(self._frames.space())
                self._frames.filled(size)
        except BlockingIOError:
            return
        except Exception as error:
            self.fail(error)
            return
        if not size:
            self.fail(ConnectionResetError("nsqd closed the connection"))
            return
        self._deliver(size)

    def _deliver(self, size: int) -> None:
        self.last_read = time.monotonic()
        try:
            messages, others = self._frames.take()
            for frame in others:
                if frame[1] == HEARTBEAT:
                    self.send(_NOP)
                else:
                    self.on_answer(frame)
            if messages:
                self.on_messages(messages, size)
        except ProtocolError as error:
            self.fail(error)
        except Exception as error:  # a fault in here must not leave a connection that nobody reads
            log.exception("%s: what it sent could not be taken", self.address)
            self.fail(error)

    # -- writing ------------------------------------------------------------------------------------------------------

    @property
    def unsent(self) -> int:
        """Bytes that the socket has not taken yet."""
        return len(self._out)

    def send(self, data: bytes) -> None:
        """Send whole frames; returns at once. A connection that is closed takes nothing."""
        if not self.is_open:
            return
        for layer in reversed(self._layers):
            data = layer.encode(data)
        if self._out:
            self._out += data
            return
        try:
            sent = self._raw.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            # not within the caller's own work: it may hold half-made state
            get_hub().loop.run_callback(self.fail, error)
            return
        if sent < len(data):
            self._out += data[sent:]
            self._writer.start(self._writable)

    def _writable(self) -> None:
        try:
            sent = self._raw.send(self._out)
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(error)
            return
        del self._out[:sent]
        if not self._out:
            self._writer.stop()

    # -- the end ------------------------------------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """Notice a peer that is silent although heartbeats are due; give back memory that is not needed any more."""
        if self.is_open and now - self.last_read > 2.5 * self.features.heartbeat:
            self.fail(TimeoutError(f"no sign of life for {now - self.last_read:.1f} s"))
        self._frames.shrink()

    def fail(self, reason: Exception) -> None:
        """End the connection because of `reason`."""
        if self.is_open:
            self._end()
            self.on_closed(reason)
            self._on_down(reason)

    def close(self) -> None:
        """End the connection because it is not needed any more. Idempotent."""
        if self.is_open:
            self._end()
            self.on_closed(ConnectionAbortedError("closed"))

    def abandon(self) -> None:
        """Let go of the copy that a forked child has of the connection, so that nothing can reach the peer through it."""
        if self.is_open:
            self.is_open = False
            for watcher in (self._reader, self._writer):
                watcher.stop()
            cut_off(self._socket.fileno())

    def _end(self) -> None:
        self.is_open = False
        for watcher in (self._reader, self._writer):
            watcher.stop()
            watcher.close()
        self._socket.close()


def is_error(frame: Frame) -> bool:
    """Whether a frame is an error."""
    return frame[0] == ERROR
