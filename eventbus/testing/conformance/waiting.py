"""Waiting for conditions instead of sleeping and hoping."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import gevent

PATIENCE = float(os.environ.get("EVENTBUS_PATIENCE", "300"))
"""Seconds that anything may take on a busy machine before it counts as hung. No verdict hangs on how fast a machine is:
what a test waits for comes within this, and what it measures is virtual time, a count or a ratio."""


def eventually(condition: Callable[[], object], what: str = "the condition", timeout: float = PATIENCE) -> None:
    """Return as soon as `condition()` is true.

    It is asked after 5 ms, and ever less often: a question costs processor time that others wait for.

    Raises:
        AssertionError: it was not within `timeout` seconds.
    """
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        if waited > timeout:
            raise AssertionError(f"{what} did not come true within {timeout:g} s")
        gevent.sleep(min(0.1, max(0.005, waited / 10)))


def stays(condition: Callable[[], object], seconds: float, what: str = "the condition") -> None:
    """Look at `condition()` for `seconds`.

    For what must never be: a slow machine makes it see less, and never fail what is right.

    Raises:
        AssertionError: it was false once.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not condition():
            raise AssertionError(f"{what} did not stay true")
        gevent.sleep(0.01)
