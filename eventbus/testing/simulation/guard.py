"""Guard: real time and the network have no place in a simulation; a handler that reaches for them is told so."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent

from eventbus.testing.simulation.conductor import Conductor
from eventbus.testing.simulation.errors import SimulationError
from eventbus.testing.simulation.runs import current

_conductor: list[Conductor] = []


def _forbidden(what: str, instead: str) -> None:
    """Raise in a handler, and note it, since handlers may catch what they like."""
    run = current.get()
    if run is None or not _conductor:
        return
    error = SimulationError(f"{run.service}.{run.label} {what}; {instead}")
    _conductor[-1].fatal = error
    raise error


def _sleeping(name: str, sleep: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(seconds: float = 0, *more: Any, **options: Any) -> Any:
        if seconds:
            _forbidden(
                f"calls {name}({seconds:g}), and no real time passes in a simulation",
                "raise RetryLater(after=...) or publish with delay=..., or have the time passed in",
            )
        return sleep(seconds, *more, **options)

    return guarded


def _connecting(connect: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: Any, address: Any) -> Any:
        _forbidden(f"connects to {str(address)[:80]}", "give it a client of the test's own that reaches no network")
        return connect(self, address)

    return guarded


@contextmanager
def guarding(conductor: Conductor) -> Iterator[None]:
    """Tell handlers that sleep or reach the network, and keep the log quiet, while the block runs."""
    from gevent import socket as gevent_socket

    changes: list[tuple[Any, str, Any]] = []

    def change(owner: Any, name: str, made: Any) -> None:
        changes.append((owner, name, owner.__dict__.get(name)))
        setattr(owner, name, made)

    _conductor.append(conductor)
    log = logging.getLogger("eventbus")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)  # the story tells it better
    change(time, "sleep", _sleeping("time.sleep", time.sleep))
    change(gevent, "sleep", _sleeping("gevent.sleep", gevent.sleep))
    for kind in dict.fromkeys((socket.socket, gevent_socket.socket)):
        change(kind, "connect", _connecting(kind.connect))
    try:
        yield
    finally:
        log.setLevel(level)
        for owner, name, before in reversed(changes):
            if before is None:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
        _conductor.pop()
