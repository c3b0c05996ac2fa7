"""Dialing: from an address to a connected socket, within one time limit for resolving and connecting together.

Names are resolved in threads of this file's own, each name once at a time: a name server that hangs must not use up the
threads that the rest of the program resolves with. Numeric addresses are not resolved at all.

What is dialed is cut off in each forked child, from its first moment on: a handshake that is under way at a fork must not
go on there, and take the answers that the parent waits for.
"""

from __future__ import annotations

import socket as stdlib_socket
import time
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import gevent
import gevent.event
import gevent.socket
from gevent.hub import get_hub
from gevent.monkey import get_original
from gevent.threadpool import ThreadPool

from eventbus.engines.nsq.addresses import Address
from eventbus.runtime.forks import cut_off, owned

_THREADS = 32
"""Names that may hang at a time before others wait for a thread."""
_resolvers: WeakKeyDictionary[Any, _Resolver] = WeakKeyDictionary()

Target = tuple[int, Any]
"""Family and socket address."""


class _Resolver:
    """The threads of one hub."""

    def __init__(self) -> None:
        self._pool = ThreadPool(_THREADS)
        self._under_way: dict[Address, gevent.event.AsyncResult[list[Target]]] = {}
        self._getaddrinfo = get_original("socket", "getaddrinfo")

    def resolve(self, address: Address) -> list[Target]:
        found = self._under_way.get(address)
        if found is None:
            found = self._under_way[address] = gevent.event.AsyncResult()
            gevent.spawn(self._ask, address, found)
        return found.get() or []

    def _look_up(self, address: Address) -> tuple[Sequence[Any], Exception | None]:
        """Return what is known, and the error where there is one. Runs in a thread: what is raised there gevent prints."""
        try:
            return self._getaddrinfo(address.host, address.port, 0, stdlib_socket.SOCK_STREAM), None
        except Exception as error:
            return (), error

    def _ask(self, address: Address, found: gevent.event.AsyncResult[list[Target]]) -> None:
        try:
            answers, error = self._pool.spawn(self._look_up, address).get() or ((), None)
            if error is not None:
                raise error
            found.set([(family, target) for family, _, _, _, target in answers])
        except Exception as error:
            found.set_exception(error)
        finally:
            self._under_way.pop(address, None)


class _Dialed:
    """The sockets of this process."""

    def __init__(self) -> None:
        self._sockets: WeakSet[Any] = WeakSet()

    def add(self, connection: Any) -> None:
        self._sockets.add(connection)
        owned(self)  # again and again: a forked child begins anew

    def abandon(self) -> None:
        sockets, self._sockets = list(self._sockets), WeakSet()
        for connection in sockets:
            if connection.fileno() >= 0:
                cut_off(connection.fileno())


_dialed = _Dialed()


def _numeric(address: Address) -> list[Target]:
    for family in (stdlib_socket.AF_INET, stdlib_socket.AF_INET6):
        try:
            stdlib_socket.inet_pton(family, address.host)
        except (OSError, ValueError):
            continue
        return [(family, (address.host, address.port))]
    return []


def resolve(address: Address) -> list[Target]:
    """Return where `address` is; blocks the greenlet, at most until the caller's own time limit.

    Raises:
        OSError: it has no such place.
    """
    if numeric := _numeric(address):
        return numeric
    hub = get_hub()
    if hub not in _resolvers:
        _resolvers[hub] = _Resolver()
    return _resolvers[hub].resolve(address)


def dial(address: Address, *, timeout: float) -> Any:
    """Return a gevent socket that is connected to `address`, with `timeout` set on it for each further step.

    Raises:
        OSError: none of its places takes the connection; TimeoutError when it took more than `timeout` seconds in all.
    """
    deadline = time.monotonic() + timeout
    with gevent.Timeout(timeout, TimeoutError(f"its name was not resolved within {timeout:g} s")):
        targets = resolve(address)
    last: OSError = OSError(f"{address} has no address")
    for family, target in targets:
        connection = gevent.socket.socket(family, stdlib_socket.SOCK_STREAM)
        _dialed.add(connection)
        try:
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            connection.connect(target)
        except OSError as error:
            connection.close()
            last = error
            continue
        except BaseException:
            connection.close()
            raise
        connection.settimeout(timeout)
        return connection
    raise last
