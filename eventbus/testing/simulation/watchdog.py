"""Watchdog: a thread that interrupts a handler which computes for ever; nothing else in the process could."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from typing import Self

from gevent import monkey

_EVERY = 0.5


class ComputesForEver(BaseException):
    """Raised in a thread in which nothing else had its turn for too long."""


class Watchdog:
    """Looks after the thread that made it.

    Args:
        seconds: without a sign of life, after which it is interrupted.

    Attributes:
        found: told where it was, as `file.py:12`, before it is.
    """

    def __init__(self, seconds: float) -> None:
        self.found: Callable[[str], object] = bool
        self._seconds = seconds
        self._seen = time.monotonic()
        self._is_over = False
        self._watched = monkey.get_original("_thread", "get_ident")()
        monkey.get_original("_thread", "start_new_thread")(self._watch, ())

    def alive(self) -> None:
        """Give a sign of life."""
        self._seen = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True

    def _watch(self) -> None:
        sleep = monkey.get_original("time", "sleep")
        while not self._is_over:
            sleep(_EVERY)
            if not self._is_over and time.monotonic() - self._seen > self._seconds:
                self._is_over = True
                frame = sys._current_frames().get(self._watched)
                self.found("" if frame is None else f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}")
                # https://docs.python.org/3/c-api/threads.html#c.PyThreadState_SetAsyncExc
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._watched), ctypes.py_object(ComputesForEver))
