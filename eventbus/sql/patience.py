"""Patience: the same work again while its database is away, for notes of what was done outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import gevent

from eventbus.runtime.guarded_log import guarded_log

T = TypeVar("T")

log = guarded_log("eventbus.sql")

_FIRST, _LONGEST = 0.05, 1.0
"""Pauses between tries in seconds: each is twice as long as the one before."""


def patiently(run: Callable[[], T], seconds: float, is_away: Callable[[Exception], bool]) -> T:
    """Return what `run` returns, tried again for `seconds` where an error says that the database is away."""
    deadline = time.monotonic() + seconds
    pause = _FIRST
    while True:
        try:
            return run()
        except Exception as error:
            left = deadline - time.monotonic()
            if left <= 0 or not is_away(error):
                raise
            if pause == _FIRST:
                log.warning("the database is away or busy (%s); tried again for %.3g s", type(error).__name__, left)
        gevent.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST)
