"""Ticker: one timer that looks after all deliveries in hand, so that none needs a timer of its own.

A timer for each message would cost as much as decoding it. A handler that returned before the next tick costs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Protocol

from gevent.hub import get_hub

from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.ticker")

INTERVAL = 0.05
"""Seconds between two ticks: how exactly a handler's time limit is kept."""


class Ticking(Protocol):
    def tick(self, now: float) -> None: ...


class Ticker:
    """Calls `tick(now)` of its followers; `now` is the monotonic time of the last tick in seconds, cheap to read."""

    __slots__ = ("_followers", "_watcher", "now")

    def __init__(self) -> None:
        self.now = time.monotonic()
        self._followers: list[Ticking] = []
        self._watcher: Any = None

    def start(self, followers: Iterable[Ticking]) -> None:
        """Look after more followers."""
        self._followers.extend(followers)
        if self._watcher is None:
            self.now = time.monotonic()
            self._watcher = get_hub().loop.timer(INTERVAL, repeat=INTERVAL)
            self._watcher.start(self._tick)

    def _tick(self) -> None:
        self.now = now = time.monotonic()
        for follower in self._followers:
            try:
                follower.tick(now)
            except Exception:  # one follower's fault must not end the care for the others
                log.exception("tick of %r failed", follower)

    def stop(self) -> None:
        """Forget all followers."""
        self._followers.clear()
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
