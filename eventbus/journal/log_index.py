"""Log index: where a bus keeps a log in a database, the journal in the same database copies nothing. It notes where in the
log each event lies, and how far it has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import gevent

from eventbus.bus import Bus
from eventbus.errors import EventBusError
from eventbus.journal.entries import read_entry
from eventbus.journal.store import Store
from eventbus.journal.taking import MOST_TAKEN, MOST_TAKEN_BYTES, Taken
from eventbus.journal.topics import is_wanted
from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.journal")

_LOOK = 0.2
"""Seconds between two looks for what is new."""
_LOOK_FOR_TOPICS = 2.0


class LogSource:
    """A `Source` of all that lies in the log of a bus, from its beginning.

    Args:
        bus: of an engine that keeps a log; see `eventbus.engines.base.Log`.
        store: knows how far the log was read.
        topics: their names; all, and those that come later, if empty.
    """

    def __init__(self, bus: Bus, store: Store, topics: Collection[str] = ()) -> None:
        self._engine: Any = bus.engine
        self._store = store
        self._named = frozenset(topics)
        self._reached: dict[str, int] = {}
        self._topics: list[str] = []
        self._looked_at = -_LOOK_FOR_TOPICS
        self._looker: Any = None
        self._is_told = False

    def start(self, wake: Callable[[], None]) -> None:
        """Look for what is new again and again."""
        self._reached = self._store.reached()

        def look() -> None:
            while True:
                wake()
                gevent.sleep(_LOOK)

        self._looker = gevent.spawn(look)

    def take(self) -> Taken | None:
        """Return what lies behind the place that was reached, topic by topic."""
        try:
            taken = self._take()
        except EventBusError as error:  # a database that is away comes back
            log.log(10 if self._is_told else 30, "the log cannot be read: %s", error)
            self._is_told = True
            return None
        self._is_told = False
        return taken

    def _take(self) -> Taken | None:
        if time.monotonic() - self._looked_at >= _LOOK_FOR_TOPICS:
            self._looked_at = time.monotonic()
            self._topics = sorted(each for each in self._engine.stats() if is_wanted(each, self._named))
        for topic in self._topics:
            after = self._reached.get(topic, 0)
            page = self._engine.past(
                topic, after=after, since=None, until=None, most=MOST_TAKEN, most_bytes=MOST_TAKEN_BYTES
            )
            if page:
                read = [read_entry(topic, each.body, each.at, place=each.position) for each in page]
                entries = [each for each in read if each is not None]
                reached = {topic: page[-1].position}
                return Taken(entries, len(read) - len(entries), partial(self._reached.update, reached), reached, page[-1].at)
        return None

    def close(self) -> None:
        """Look no more."""
        if self._looker is not None:
            self._looker.kill()
