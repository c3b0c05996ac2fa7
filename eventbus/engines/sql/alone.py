"""Alone: whether one greenlet publishes by itself, so that its rounds may run in it, with no switch to another and back."""

from __future__ import annotations

import time
from typing import Any

from gevent import getcurrent

_CROWD = 0.1
"""Seconds for which publishers wait for one another after two have met."""
_IN_A_ROW = 32
"""Publishes after which the hub has its turn."""


class Alone:
    """Knows who published last."""

    __slots__ = ("_crowded_until", "_last", "_streak")

    def __init__(self) -> None:
        self._last: Any = None
        self._crowded_until = 0.0
        self._streak = 0

    def is_alone(self) -> bool:
        """Whether this greenlet publishes by itself; asked once for each publish."""
        here = getcurrent()
        if here is not self._last:
            if self._last is not None:
                self._crowded_until = time.monotonic() + _CROWD
            self._last = here
            return False
        return not self._crowded_until or self._is_over()

    def _is_over(self) -> bool:
        if time.monotonic() < self._crowded_until:
            return False
        self._crowded_until = 0.0
        return True

    def is_turn_over(self) -> bool:
        """Whether the hub should run now."""
        self._streak += 1
        if self._streak < _IN_A_ROW:
            return False
        self._streak = 0
        return True
