"""A publisher in another process: what a bus here publishes is published there, so that the whole suite runs across two."""

from __future__ import annotations

import socket
import struct
import sys
from pathlib import Path
from typing import Any

import gevent
import msgpack
from gevent import socket as cooperative

from eventbus import errors
from eventbus.engines import open_engine
from tests.nsqd import Process
from tests.waiting import eventually

_HEAD = struct.Struct("!I")


def _send(connection: Any, value: Any) -> None:
    body = msgpack.packb(value)
    connection.sendall(_HEAD.pack(len(body)) + body)


def _receive(connection: Any) -> Any:
    (length,) = _HEAD.unpack(_exactly(connection, _HEAD.size))
    return msgpack.unpackb(_exactly(connection, length))


def _exactly(connection: Any, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = connection.recv(min(count, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def serve(url: str, path: str) -> None:
    """Publish on `url` whatever comes on the Unix socket at `path`."""
    engine: Any = open_engine(url)
    listener = cooperative.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(512)
    while True:
        connection, _ = listener.accept()
        gevent.spawn(_serve, engine, connection)


def _serve(engine: Any, connection: Any) -> None:
    try:
        while True:
            method, arguments, options = _receive(connection)
            try:
                getattr(engine, method)(*arguments, **options)
            except errors.EventBusError as error:
                _send(connection, [type(error).__name__, str(error)])
            else:
                _send(connection, None)
    except (EOFError, OSError):
        connection.close()


class Publishing:
    """The process that publishes."""

    def __init__(self, url: str, folder: Path) -> None:
        self.path = str(folder / "publisher")
        self._process = Process(sys.executable, "-m", "tests.conformance.apart", url, self.path)
        eventually(lambda: Path(self.path).exists(), "the publisher's socket")

    def end(self) -> None:
        self._process.end()


class Apart:
    """An engine whose publishes another process does."""

    def __init__(self, inner: Any, path: str) -> None:
        self._inner = inner
        self._path = path
        self._idle: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _there(self, method: str, *arguments: Any, **options: Any) -> None:
        if self._inner._is_closed:
            raise errors.BusStateError("the engine is closed")
        connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = cooperative.socket(socket.AF_UNIX)
            connection.connect(self._path)
        try:
            _send(connection, [method, list(arguments), options])
            answer = _receive(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError | EOFError):
                raise errors.OutcomeUnknown(f"the publishing process: {error}") from None
            raise
        if self._inner._is_closed:
            connection.close()
        else:
            self._idle.append(connection)
        if answer is not None:
            raise getattr(errors, answer[0])(answer[1])

    def abandon(self) -> None:
        self._inner.abandon()
        self._idle.clear()

    def publish(self, topic: str, body: bytes, *, delay: float, timeout: float) -> None:
        self._there("publish", topic, body, delay=delay, timeout=timeout)

    def publish_many(self, topic: str, bodies: Any, *, timeout: float) -> None:
        self._there("publish_many", topic, list(bodies), timeout=timeout)

    def publish_foreign(self, topic: str, body: bytes, *, timeout: float) -> None:
        self._there("publish_foreign", topic, body, timeout=timeout)

    def close(self) -> None:
        self._inner.close()
        while self._idle:
            self._idle.pop().close()


if __name__ == "__main__":
    serve(*sys.argv[1:])
