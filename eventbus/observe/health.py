"""Health: what a bus tells an orchestrator, served in a thread with a hub of its own: it answers while a handler blocks.

`/healthz` is 200 while the process is alive, `/readyz` while it can handle events, `/metrics` is Prometheus' format.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent
import gevent.event
import gevent.socket
from gevent import monkey
from gevent.hub import get_hub

from eventbus.errors import ConfigurationError
from eventbus.observe.hub import HubWatch
from eventbus.observe.metrics import CONTENT_TYPE, Metrics
from eventbus.serving.bounded_server import BoundedServer
from eventbus.serving.http_limits import HttpLimits

if TYPE_CHECKING:
    from eventbus.bus import Bus

_UNREADY_AFTER = 2.0
"""Seconds of a blocked hub after which a process is not ready, or half the message timeout where that is less."""
_TO_STOP, _TO_UNWIND = 3.0, 1.5
"""Seconds for a stop, and in it for what the server began to end."""
_LIMITS = HttpLimits(connections=32, head=5.0, body=5.0, answer=10.0)
"""Whoever asks for health waits behind no client that says nothing: a process that seems dead is killed."""


class Health:
    """What is to be said of a bus; may be asked in any thread."""

    def __init__(self, bus: Bus, watch: HubWatch | None = None) -> None:
        self._bus = bus
        self._watch = watch
        self.is_started = False

    def dead(self) -> str:
        """Return why the process should be ended and started anew, or an empty text."""
        blocked = 0.0 if self._watch is None else self._watch.blocked_for
        if blocked > self._bus.message_timeout:
            return f"the hub is blocked for {blocked:.0f} s, longer than the message timeout"
        return ""

    def unready(self) -> list[str]:
        """Return what keeps the process from handling events."""
        bus, faults = self._bus, []
        if not self.is_started:
            faults.append("starting")
        if bus.is_stopping:
            faults.append("stopping")
        blocked = 0.0 if self._watch is None else self._watch.blocked_for
        if blocked > min(_UNREADY_AFTER, bus.message_timeout / 2) and self._watch is not None:
            faults.append(f"the hub is blocked for {blocked:.1f} s: {self._watch.reason or 'unknown'}")
        for each in list(bus.dispatchers):
            name = f"{each.topic}/{each.channel}"
            if each.subscription is None or not each.subscription.is_connected:
                faults.append(f"{name}: not connected")
            elif not each.flow.is_flowing:
                faults.append(f"{name}: backing off")
        return faults


class HealthPages:
    """The pages, as a WSGI application."""

    def __init__(self, health: Health, metrics: Metrics) -> None:
        self._health = health
        self._metrics = metrics

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path == "/healthz":
            reason = self._health.dead()
            return answer(start_response, 503 if reason else 200, reason or "alive")
        if path == "/readyz":
            faults = self._health.unready()
            return answer(start_response, 503 if faults else 200, "\n".join(faults) or "ready")
        if path == "/metrics":
            return answer(start_response, 200, self._metrics.render(), CONTENT_TYPE)
        return answer(start_response, 404, "there are /healthz, /readyz and /metrics")


_REASONS = {200: "200 OK", 404: "404 Not Found", 503: "503 Service Unavailable"}


def answer(start_response: Any, status: int, text: str | bytes, kind: str = "text/plain; charset=utf-8") -> list[bytes]:
    """Answer a WSGI request with a text."""
    body = text if isinstance(text, bytes) else f"{text}\n".encode()
    start_response(_REASONS[status], [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def listen(where: str) -> Any:
    """Return a listening socket of the standard library on `host:port` or on the path of a Unix socket.

    Raises:
        ConfigurationError: it cannot be had.
    """
    make = monkey.get_original("socket", "socket")
    host, colon, port = where.rpartition(":")
    is_path = not colon or "/" in where
    family = socket.AF_UNIX if is_path else socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = make(family, socket.SOCK_STREAM)
    try:
        if is_path:
            Path(where).unlink(missing_ok=True)
            listener.bind(where)
            os.chmod(where, 0o600)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host.strip("[]"), int(port)))
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"health pages on {where}: {error.strerror or error}; give another port") from None
    return listener


class HealthServer:
    """Serves an application in a thread of its own, on `host:port` (port 0 takes a free one) or on a Unix socket's path."""

    def __init__(self, app: Any, where: str) -> None:
        listener = listen(where)
        name = listener.getsockname()
        self.port: int = name[1] if isinstance(name, tuple) else 0
        self._path = None if isinstance(name, tuple) else where
        self._family = listener.family
        self._descriptor: int = listener.detach()
        self._app = app
        self._hub: Any = None
        self._server: BoundedServer | None = None
        self._ended = False
        # loaded before there are two threads: two hubs that import the same module wait for each other's import lock
        _ = get_hub().resolver
        # the original: a patched thread would be a greenlet of the hub that may be blocked
        monkey.get_original("_thread", "start_new_thread")(self._run, ())

    def _run(self) -> None:
        try:
            listener = gevent.socket.socket(self._family, fileno=self._descriptor)
            self._server = BoundedServer(listener, self._app, limits=_LIMITS)
            self._server.start()  # before anybody can stop it
            self._hub = get_hub()
            self._server.serve_forever()
        finally:
            # what has a timer still must have ended: one that is collected after its loop crashes the process
            hub = get_hub()
            if hub.join(timeout=_TO_UNWIND):
                hub.destroy(destroy_loop=True)
            self._ended = True

    def stop(self) -> None:
        """End the thread. Idempotent."""
        deadline = monotonic() + _TO_STOP
        while self._hub is None and not self._ended and monotonic() < deadline:
            gevent.sleep(0.005)
        server, hub = self._server, self._hub
        if server is None or hub is None or self._ended:
            return
        hub.loop.run_callback_threadsafe(lambda: gevent.spawn(server.stop, 0.5))
        while not self._ended and monotonic() < deadline:
            gevent.sleep(0.005)
        if self._path is not None:
            Path(self._path).unlink(missing_ok=True)
