"""Recorder: writes what a source brings, and what services tell of their deliveries, batch after batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent
import sqlalchemy as sa
from gevent.event import Event

from eventbus.bus import Bus
from eventbus.journal.store import MOST_ROWS, Store
from eventbus.journal.taking import Source
from eventbus.outcomes import Batch, Record
from eventbus.outcomes.listening import listen
from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.journal")

_GATHER = 0.05
"""Seconds for which a batch gathers: a commit waits for the disk, whatever it writes."""
_AGAIN = 1.0
"""Seconds until a database that is away is tried again."""
_PRUNE = 5.0
"""Seconds between two looks at what is too old, while nothing is written."""
_MOST_TOLD = 50_000
"""Records that wait for their batch; more are dropped. Events are not: they wait on their channel."""


class Recorder:
    """Writes a journal until it is killed; what was not committed by then comes again to the next one.

    Args:
        bus: whose services are asked to tell.
        store: prepared already.
        source: brings the events.
        is_away: whether an error of the store says that its database is away or busy, and not that something is wrong.

    Attributes:
        written: events that were written.
        doubles: events that were there already.
        unreadable: messages that were no events.
        records: records that were written.
        dropped: records that were left out, here or by who told, because there were too many.
    """

    def __init__(self, bus: Bus, store: Store, source: Source, *, is_away: Callable[[BaseException], bool]) -> None:
        self.written = self.doubles = self.unreadable = self.records = self.dropped = 0
        self._bus = bus
        self._store = store
        self._source = source
        self._is_away = is_away
        self._told: list[Record] = []
        self._wake = Event()
        self._pruned_at = 0.0

    def run(self) -> None:
        """Write until this greenlet is killed.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database takes something not, for another reason than being away.
        """
        listening = listen(self._bus, self._hear, "journal")
        try:
            self._source.start(self._wake.set)
            while True:
                if not self._write():
                    self._prune()
                    self._wake.wait(timeout=_PRUNE)
                    gevent.sleep(_GATHER)
                self._wake.clear()
        finally:
            listening.close()
            self._source.close()

    def _hear(self, batch: Batch) -> None:
        room = max(_MOST_TOLD - len(self._told), 0)
        self._told += batch.records[:room]
        self.dropped += batch.dropped + max(len(batch.records) - room, 0)
        self._wake.set()

    def _write(self) -> bool:
        """Write a batch; return whether there was anything."""
        taken = self._source.take()
        told, self._told = self._told[:MOST_ROWS], self._told[MOST_ROWS:]
        if taken is None and not told:
            return False
        entries = [] if taken is None else taken.entries
        reached = None if taken is None else taken.reached
        now = time.time() if taken is None or taken.at is None else taken.at
        count = self._patiently(lambda: self._store.write(entries, told, now=now, reached=reached))
        self.written += count
        self.doubles += len(entries) - count
        self.records += len(told)
        if taken is not None:
            taken.done()
            if taken.unreadable:
                self.unreadable += taken.unreadable
                log.warning("%d messages were no events and are not in the journal", taken.unreadable)
        return True

    def _prune(self) -> None:
        now = time.monotonic()
        if now - self._pruned_at >= _PRUNE:
            while self._patiently(lambda: self._store.prune(time.time())):
                gevent.sleep(0)
            self._pruned_at = now

    def _patiently(self, work: Callable[[], Any]) -> Any:
        is_told = False
        while True:
            try:
                return work()
            except sa.exc.SQLAlchemyError as error:
                if not self._is_away(error):
                    raise
                why = str(getattr(error, "orig", None) or error).strip().split("\n", 1)[0]
                log.log(10 if is_told else 30, "the journal waits for its database: %s", why)
                is_told = True
            gevent.sleep(_AGAIN)
