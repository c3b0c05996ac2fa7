"""Waiting with a deadline instead of sleeping and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent


def eventually(condition: Callable[[], object], what: str = "the condition", timeout: float = 30.0) -> None:
    """Return as soon as `condition()` is true; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout:g} s")
        gevent.sleep(0.005)


def stays(condition: Callable[[], object], seconds: float, what: str = "the condition") -> None:
    """Fail as soon as `condition()` is false within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"{what} did not stay true"
        gevent.sleep(0.01)
