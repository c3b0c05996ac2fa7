"""Web server: a small HTTP server that starts and stops with a bus, bounded against clients that are slow, many or sly."""

from __future__ import annotations

import socket
from collections.abc import Collection

import gevent.socket

from eventbus.errors import ConfigurationError
from eventbus.runtime.guarded_log import guarded_log
from eventbus.serving.bounded_server import BoundedServer, WsgiApp
from eventbus.serving.http_limits import HttpLimits

log = guarded_log("eventbus.serving")

_BACKLOG = 256


class WebServer:
    """Serves a WSGI application as long as the bus runs: `bus.attach(WebServer(app, port=8000))`.

    Args:
        app: any WSGI application.
        host: address to listen on; only this machine's own unless given.
        port: TCP port; 0 takes a free one, which `port` then names.
        limits: of connections, times and heads.
        hosts: names of this server in the DNS; a request that names another is refused by 421. Addresses and names without
            a dot are always taken. None, the default, takes every name.

    Raises:
        ConfigurationError: at start, when the address cannot be taken.
    """

    def __init__(
        self,
        app: WsgiApp,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: HttpLimits | None = None,
        hosts: Collection[str] | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self._app = app
        self._limits = limits
        self._hosts = hosts
        self._server: BoundedServer | None = None

    def __repr__(self) -> str:
        return f"<WebServer on {self.host}:{self.port}>"

    @property
    def url(self) -> str:
        """Where it is reached, without a slash at the end."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

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
        self._server = BoundedServer(listener, self._app, limits=self._limits, hosts=self._hosts)
        self._server.start()
        log.info("HTTP on %s", self.url)

    def stop_intake(self) -> None:
        """Take no new connection; requests under way go on."""
        if self._server is not None:
            self._server.close()
            self._server.close_idle()

    def stop(self, timeout: float) -> None:
        """Wait for the requests under way, at most `timeout` seconds. Idle connections are closed at once."""
        if self._server is not None:
            self._server.close_idle()
            self._server.stop(timeout=timeout)
            self._server = None

    def abandon(self) -> None:
        """In a forked child: take no connection and answer no request, they are the parent's."""
        if self._server is not None:
            self._server.abandon()
            self._server = None

    def is_idle(self) -> bool:
        """A server waits for clients, and a test knows when it sent a request."""
        return True
