from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from eventbus import Bus
from eventbus.settings import BusSettings
from eventbus.testing.conformance.worlds import LONG
from tests.nsqd import Nsqd, Nsqlookupd


@pytest.fixture
def ends() -> Iterator[Callable[[Any], Any]]:
    """Takes whatever has `end`, `stop` or `close`, and calls that when the test is over, the last first."""
    with ExitStack() as stack:

        def take(thing: Any) -> Any:
            for name in ("end", "close") if not isinstance(thing, Bus) else ("stop",):
                if hasattr(thing, name):
                    stack.callback(getattr(thing, name))
                    break
            return thing

        yield take


@pytest.fixture
def nsqd(ends: Callable[[Any], Any]) -> Nsqd:
    """A real nsqd of this test alone."""
    found: Nsqd = ends(Nsqd())
    return found


@pytest.fixture
def lookupd(ends: Callable[[Any], Any]) -> Nsqlookupd:
    """A real nsqlookupd of this test alone."""
    found: Nsqlookupd = ends(Nsqlookupd())
    return found


@pytest.fixture
def make_bus(ends: Callable[[Any], Any]) -> Callable[..., Bus]:
    """Makes buses that are stopped when the test is over."""

    def make(url: str, *, query: str = "", **settings: Any) -> Bus:
        joined = url + ("&" if "?" in url else "?") + query if query else url
        bus: Bus = ends(
            Bus(joined, source="test", settings=BusSettings(**{"message_timeout": LONG, "grace": 2.0, **settings}))
        )
        return bus

    return make
