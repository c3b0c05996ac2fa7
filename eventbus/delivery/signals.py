"""Signals: a program that runs until it is asked to end."""

from __future__ import annotations

import contextvars
import signal
from collections.abc import Callable
from typing import Any, TypeVar

import gevent
import gevent.event

R = TypeVar("R")


def run_until_asked(start: Callable[[], None], stop: Callable[[], R], stopped: Any) -> R:
    """Call `start`, wait for SIGTERM, SIGINT or the event `stopped`, and return what `stop` returns.

    A signal that comes before `start` has ended ends that at once; a second one ends the process.
    """
    asked = gevent.event.Event()

    def on_signal() -> None:
        if asked.is_set():
            raise SystemExit(130)
        asked.set()

    watchers = [gevent.signal_handler(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)]
    starting = gevent.spawn(contextvars.copy_context().run, start)
    both: list[Any] = [starting, asked]
    try:
        gevent.wait(both, count=1)
        if starting.ready():
            starting.get()
        gevent.wait([asked, stopped], count=1)
        starting.kill()
        return stop()
    finally:
        starting.kill(block=False)
        for watcher in watchers:
            watcher.cancel()
