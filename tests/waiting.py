"""Waiting for conditions instead of sleeping and hoping."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gevent
import pytest

PATIENCE = 300.0
"""Seconds that anything may take on a busy machine before it counts as hung. No verdict hangs on how fast a machine is:
what a test waits for comes within this, and what it measures is virtual time, a count or a ratio."""


def eventually(condition: Callable[[], object], what: str = "the condition", timeout: float = PATIENCE) -> None:
    """Return as soon as `condition()` is true; fail after `timeout` seconds.

    It is asked after 5 ms, and ever less often: a question costs processor time that others wait for.
    """
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        if waited > timeout:
            raise AssertionError(f"{what} did not come true within {timeout:g} s")
        gevent.sleep(min(0.1, max(0.005, waited / 10)))


def stays(condition: Callable[[], object], seconds: float, what: str = "the condition") -> None:
    """Fail as soon as `condition()` is false within `seconds`.

    For what must never be: a slow machine makes it see less, and never fail what is right.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"{what} did not stay true"
        gevent.sleep(0.01)


@contextmanager
def hub_turns() -> Iterator[list[float]]:
    """Collect a gap in seconds for each turn of a greenlet that sleeps 5 ms again and again.

    None comes while the hub is blocked. On a busy machine fewer come in a second, so that a count of them is a time limit
    that grows with the load.
    """
    gaps: list[float] = []

    def turn() -> None:
        last = time.monotonic()
        while True:
            gevent.sleep(0.005)
            gaps.append(time.monotonic() - last)
            last = time.monotonic()

    greenlet = gevent.spawn(turn)
    try:
        yield gaps
    finally:
        greenlet.kill()


def fails_until_it_says(act: Callable[[], object], said: str, error: type[BaseException] = Exception) -> BaseException:
    """Return the error of the first time that `act()` fails with what it should say; fail if it ever succeeds.

    A time limit that is over before the reason is known says less; on a busy machine that may be so at first.
    """
    last: list[BaseException] = []

    def says() -> bool:
        with pytest.raises(error) as caught:
            act()
        last[:] = [caught.value]
        return re.search(said, str(caught.value)) is not None

    try:
        eventually(says)
    except AssertionError as never:
        raise AssertionError(f"it never says {said!r}, but {last}") from never
    return last[0]
