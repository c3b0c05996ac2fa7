"""Request handler: gevent's, with heads read strictly, total time limits, and no request read after one that is unclear."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Collection
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Protocol

from gevent import pywsgi

from eventbus.serving.http_limits import HttpLimits
from eventbus.serving.request_head import Head, RefusedRequestError, is_own_host, read_head

_Handler: Any = pywsgi.WSGIHandler  # the stubs leave out or narrow much of what is there to be overridden
_Input: Any = pywsgi.Input

_TO_DISCARD = 64 * 1024
"""Bytes of a body that nobody wanted which are read to keep the connection; with more of it, closing is cheaper."""
_LINGER = 1.0
"""Seconds for which a closed connection is read on, so that the client gets the answer and not a reset."""


class HandlesRequests(Protocol):
    """What a handler needs of its server: the limits, the names, and where to be found while it lives."""

    limits: HttpLimits
    hosts: Collection[str] | None
    connections: set[Any]
    keeps_connections: bool
    application: Any


class _Wire(io.RawIOBase):
    """What comes from the client, with one deadline for all of a phase: idle, head, body."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.deadline = 0.0
        self.since = time.monotonic()
        self.phase = "idle"
        self.is_waiting = False
        """Whether the client has to do something for anything to go on."""
        self.is_late = False

    def begin(self, phase: str, seconds: float) -> None:
        self.phase = phase
        self.since = time.monotonic()
        self.deadline = self.since + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.deadline - time.monotonic()
        if left <= 0:
            self.is_late = True
            raise TimeoutError("the client took too long")
        self._sock.settimeout(left)
        self.is_waiting = True
        try:
            return int(self._sock.recv_into(buffer))
        except TimeoutError:
            self.is_late = True
            raise
        finally:
            self.is_waiting = False


class _Body(_Input):  # type: ignore[misc]
    """A request's body; knows whether all of it was read, for only then another request can follow."""

    def is_complete(self) -> bool:
        if self.chunked_input:
            return bool(self.chunk_length == 0 and not self._chunked_input_error)
        return bool(self.position >= (self.content_length or 0))

    def is_cheap_to_end(self) -> bool:
        """Whether what is left of it is short and surely on its way."""
        if self.is_complete():
            return True
        left: int = (self.content_length or 0) - self.position
        return not self.chunked_input and self.socket is None and left <= _TO_DISCARD

    def _discard(self) -> None:
        if self.socket is not None:  # the client waits for a word that it will not get
            return
        left = _TO_DISCARD
        self.send_100_continue_enabled = False
        while left > 0 and not self.is_complete() and not self._chunked_input_error:
            read = self.read(min(left, 16384))
            if not read:
                break
            left -= len(read)
        self.send_100_continue_enabled = True


class RequestHandler(_Handler):  # type: ignore[misc]
    """Serves the requests of one connection; see `BoundedServer`."""

    server: HandlesRequests
    head: Head

    def __init__(self, sock: Any, address: Any, server: HandlesRequests) -> None:
        self.wire = _Wire(sock)
        self.expects_more = False
        super().__init__(sock, address, server, rfile=io.BufferedReader(self.wire, 8192))

    def handle(self) -> None:
        self.server.connections.add(self)
        try:
            super().handle()
        finally:
            self.server.connections.discard(self)

    def give_way(self) -> None:
        """End the connection from outside. Does not block."""
        with suppress(OSError, AttributeError):  # it may be closed already
            self.socket.shutdown(2)

    def handle_one_request(self) -> Any:
        limits = self.server.limits
        self.response_length = 0
        try:
            self.wire.begin("idle", limits.idle)
            if not self.rfile.peek(1):
                return None
            self.wire.begin("head", limits.head)
            head = read_head(self.rfile.readline, limits)
        except RefusedRequestError as error:
            return self._refuse(error.status, str(error))
        except TimeoutError:
            return None if self.wire.phase == "idle" else self._refuse(408, "the request's head took too long")
        except OSError:
            return None
        if head is None:
            return None
        self._take(head)
        host = self.headers.get("Host", "")
        if self.server.hosts is not None and host and not is_own_host(host, self.server.hosts):
            return self._refuse(421, "this server has another name")
        self.environ = self.get_environ()
        self.application = self.server.application
        self.wire.begin("body", limits.body)
        self.handle_one_response()
        if not self.wsgi_input.is_complete():
            self._linger()
            return None
        return None if self.close_connection or not self.server.keeps_connections else True

    def _take(self, head: Head) -> None:
        self.head = head
        self.command, self.path, self.request_version = head.method, head.target, head.version
        self.requestline = f"{head.method} {head.target} {head.version}"
        self.headers = self.MessageClass(io.BytesIO(head.raw_fields()), 0)
        self.content_length = head.length
        self.close_connection = head.closes

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        waits = self.socket if environ.get("HTTP_EXPECT", "").lower() == "100-continue" else None
        self.wsgi_input = _Body(self.rfile, self.head.length, socket=waits, chunked_input=self.head.is_chunked)
        environ["wsgi.input"] = self.wsgi_input
        environ["wsgi.input_terminated"] = True
        return environ

    def finalize_headers(self) -> None:
        super().finalize_headers()
        is_last = self.close_connection or not self.server.keeps_connections or not self.wsgi_input.is_cheap_to_end()
        if is_last and not any(name.lower() == b"connection" for name, _ in self.response_headers):
            self.close_connection = True
            self.response_headers.append((b"Connection", b"close"))
        self._answer_by = time.monotonic() + self.server.limits.answer

    def _sendall(self, data: Any) -> None:
        self.wire.since, self.wire.is_waiting = time.monotonic(), True
        self.socket.settimeout(max(self._answer_by - time.monotonic(), 0.001))
        try:
            super()._sendall(data)
        finally:
            self.wire.is_waiting = False

    def handle_error(self, kind: Any, value: Any, traceback: Any) -> None:
        if not issubclass(kind, TimeoutError):
            super().handle_error(kind, value, traceback)
            return
        self.close_connection = True  # a slow client is no fault of ours
        if self.wire.is_late and not self.response_length:
            self.socket.settimeout(_LINGER)
            self.socket.sendall(refusal(408, "the request's body took too long"))

    def _refuse(self, status: int, detail: str) -> None:
        try:
            self.socket.settimeout(_LINGER)
            self.socket.sendall(refusal(status, detail))
        except OSError:
            return
        self._linger()

    def _linger(self) -> None:
        deadline = time.monotonic() + _LINGER
        left = 16 * _TO_DISCARD
        try:
            self.socket.shutdown(1)
            while left > 0:
                self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
                read = self.socket.recv(_TO_DISCARD)
                if not read:
                    return
                left -= len(read)
        except OSError:
            pass


def refusal(status: int, detail: str) -> bytes:
    """Return a whole answer with problem details (RFC 9457) that ends its connection."""
    phrase = {431: "Request Header Fields Too Large"}.get(status) or HTTPStatus(status).phrase
    body = json.dumps({"type": "about:blank", "title": phrase, "status": status, "detail": detail}).encode()
    head = (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
