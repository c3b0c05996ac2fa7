"""Bounded server: gevent's WSGI server with a limit on connections at which those that only wait give way."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

import gevent
from gevent import pywsgi

from eventbus.runtime.forks import cut_off
from eventbus.runtime.guarded_log import guarded_log
from eventbus.serving.http_limits import HttpLimits
from eventbus.serving.request_handler import RequestHandler

log = guarded_log("eventbus.serving")

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]

_Server: Any = pywsgi.WSGIServer  # the stubs leave out what is there to be overridden

_SLOW = 1.0
"""Seconds that a client may need for a request before its connection gives way to another; an idle one does at once."""
_LOOK_AGAIN = 0.25


class BoundedServer(_Server):  # type: ignore[misc]
    """Serves `app` on a listening socket.

    TCP_NODELAY is set: without it each answer on a kept connection waits 40 ms for the client's acknowledgement (gevent
    issue 1233). Works in any thread that has a hub.

    Args:
        hosts: names by which requests may call this server, beside its addresses; None takes all.
    """

    handler_class = RequestHandler

    def __init__(
        self, listener: Any, app: WsgiApp, *, limits: HttpLimits | None = None, hosts: Collection[str] | None = None
    ) -> None:
        self.limits = limits or HttpLimits()
        self.hosts = hosts
        self.connections: set[RequestHandler] = set()
        self.keeps_connections = True
        super().__init__(listener, app, spawn=self.limits.connections, log=None, error_log=log)
        self.full = self._has_no_room

    def handle(self, sock: Any, address: Any) -> None:
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().handle(sock, address)

    def _has_no_room(self) -> bool:
        # called by the hub when a client knocks: must not block
        if not self.pool.full():
            self.keeps_connections = True
            return False
        self.keeps_connections = False  # what is answered now makes room
        now = time.monotonic()
        waiting = [each for each in self.connections if each.wire.is_waiting]
        ready = [each for each in waiting if each.wire.phase == "idle" or now - each.wire.since > _SLOW]
        if ready:
            min(ready, key=lambda each: (each.wire.phase != "idle", each.wire.since)).give_way()
        gevent.spawn_later(_LOOK_AGAIN, self._start_accepting_if_started)
        return True

    def abandon(self) -> None:
        """In a forked child: cut off its copies of the listener and of the clients."""
        self.stop_accepting()
        for each in (self.socket, *(connection.socket for connection in self.connections)):
            cut_off(each.fileno())
        self.pool.kill(block=False)

    def close_idle(self) -> None:
        """Close the connections without a request, and each other one after its answer."""
        self.keeps_connections = False
        for each in list(self.connections):
            if each.wire.phase == "idle" and each.wire.is_waiting:
                each.give_way()
