"""Clock: the time that an engine and its bus live by, so that tests can let 300 seconds pass at no cost.

Durations run on a monotonic clock, which no correction of the wall clock can stretch; instants that leave the process
(an event's time, an expiry) are wall-clock time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is due."""

    def cancel(self) -> None:
        """Forget the call; harmless when it has run."""
        ...


class Clock(Protocol):
    """Tells time and calls back. Callbacks run in the hub and must not block."""

    def time(self) -> float:
        """Seconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object], *, is_housekeeping: bool = False) -> Timer:
        """Call `callback` once after `seconds`.

        Housekeeping is work that nobody waits for; a virtual clock does not jump ahead for it.
        """
        ...


class _HubTimer:
    __slots__ = ("_watcher",)

    def __init__(self, seconds: float, callback: Callable[[], object]) -> None:
        from gevent import get_hub

        self._watcher = get_hub().loop.timer(max(seconds, 0.0))
        self._watcher.start(self._run, callback)

    def _run(self, callback: Callable[[], object]) -> None:
        self.cancel()
        callback()

    def cancel(self) -> None:
        self._watcher.stop()
        self._watcher.close()


class SystemClock:
    """The machine's own clock and the gevent hub's timers."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    def call_later(self, seconds: float, callback: Callable[[], object], *, is_housekeeping: bool = False) -> Timer:
        return _HubTimer(seconds, callback)
