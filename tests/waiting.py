"""Waiting for conditions instead of sleeping and hoping."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gevent
import pytest

from eventbus.testing.conformance.waiting import PATIENCE, eventually, stays

__all__ = ["PATIENCE", "eventually", "fails_until_it_says", "hub_turns", "stays"]


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
