"""Web server: a small HTTP server that starts and stops with a bus.

gevent's own server, with what it lacks: TCP_NODELAY, without which each answer on a kept connection waits 40 ms for the
client's acknowledgement (gevent issue 1233), a bounded number of connections, a time limit on slow clients, and a stop that
lets running requests end.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable
from typing import Any

import gevent.socket
from gevent.pywsgi import WSGIServer

from eventbus.errors import ConfigurationError

log = logging.getLogger("eventbus.serving")

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]

_MAX_CONNECTIONS = 1000
_BACKLOG = 256
_IDLE = 60.0
"""Seconds without a byte after which a client is dropped."""


class _Server(WSGIServer):
    def handle(self, sock: socket.socket, address: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(_IDLE)
        super().handle(sock, address)


class WebServer:
    """Serves a WSGI application as long as the bus runs: `bus.attach(WebServer(app, port=8000))`.

    Args:
        app: any WSGI application.
        host: address to listen on; only this machine's own unless given.
        port: TCP port; 0 takes a free one, which `port` then names.

    Raises:
        ConfigurationError: at start, when the address cannot be taken.
    """

    def __init__(self, app: WsgiApp, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self._app = app
        self._server: _Server | None = None

    def __repr__(self) -> str:
        return f"<WebServer on {self.host}:{self.port}>"

    @property
    def url(self) -> str:
        """Where it is reached, without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    def start(self, bus: object = None) -> None:
        """Listen and serve."""
        listener = gevent.socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.port))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise ConfigurationError(
                f"HTTP on {self.host}:{self.port}: {error.strerror or error}; give another host or port"
            ) from None
        self.port = listener.getsockname()[1]
        self._server = _Server(listener, self._app, spawn=_MAX_CONNECTIONS, log=None, error_log=log)
        self._server.start()
        log.info("HTTP on %s", self.url)

    def stop_intake(self) -> None:
        """Take no new connection; requests under way go on."""
        if self._server is not None:
            self._server.close()

    def stop(self, timeout: float) -> None:
        """Wait for the requests under way, at most `timeout` seconds. Idle connections are closed at once."""
        if self._server is not None:
            self._server.stop(timeout=min(timeout, 2.0))
            self._server = None

    def is_idle(self) -> bool:
        """A server waits for clients, and a test knows when it sent a request."""
        return True
