"""Log reading: the newest events of a bus that keeps a log in a database, where nobody ever wrote a journal.

Nothing is written there: what the log has is indexed in memory, when it is first asked for and then again what is new.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import gevent
import sqlalchemy as sa
from gevent.lock import RLock
from sqlalchemy import Connection

from eventbus.engines.sql.ids import base
from eventbus.journal.entries import read_entry
from eventbus.journal.finding import TableReading, answered
from eventbus.journal.logged import Chain, Logged, Uses
from eventbus.journal.store import Store
from eventbus.journal.topics import is_wanted
from eventbus.sql import Database

MOST_INDEXED = 50_000
"""Events of the past that are looked at; those that come while it is open are added."""
MOST_BYTES = 64 * 1024 * 1024
"""Of the index in memory, about; the oldest events leave it."""
TOPICS = "eventbus_bus_topics"
"""The table by which a bus is known."""
_AT_ONCE, _BYTES_AT_ONCE = 1000, 4 * 1024 * 1024

_topics = sa.text(f"SELECT id, name, last FROM {TOPICS} ORDER BY id")
_run = sa.text(
    "SELECT id, at, body FROM (SELECT *, sum(length(body)) OVER (ORDER BY id) - length(body) AS bytes_before FROM "
    "(SELECT id, at, body FROM eventbus_bus_log WHERE id > :after AND id <= :last ORDER BY id LIMIT :most) AS run) AS sums "
    "WHERE bytes_before < :bytes ORDER BY id"
)


class LogReading:
    """A `Reading` of a bus's own log.

    Args:
        bus: the database that carries it; closed with this.
    """

    def __init__(self, bus: Database) -> None:
        self._bus = bus
        self._index = Database("sqlite://")
        self._store = Store(self._index, max_bytes=MOST_BYTES)
        self._reading = TableReading(self._index)
        self._reached: dict[int, int] = {}
        self._turn = RLock()
        self._is_prepared = False
        self._begin: float | None = None

    def find(
        self,
        text: str = "",
        *,
        subject: str | None = None,
        type: str | None = None,
        since: float | None = None,
        limit: int = 50,
    ) -> Sequence[Logged]:
        """As `Reading.find`."""
        self._look()
        return self._reading.find(text, subject=subject, type=type, since=since, limit=limit)

    def past(
        self,
        *,
        topic: str | None = None,
        subject: str | None = None,
        type: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> Iterator[Logged]:
        """As `Reading.past`."""
        self._look()
        return self._reading.past(topic=topic, subject=subject, type=type, since=since, until=until)

    def chain(self, key: str) -> Chain | None:
        """As `Reading.chain`."""
        self._look()
        return self._reading.chain(key)

    def uses(self, topic: str, type: str, version: int) -> Uses:
        """As `Reading.uses`."""
        self._look()
        return replace(self._reading.uses(topic, type, version), begin=self._begin)

    def close(self) -> None:
        """Close the databases."""
        self._reading.close()
        self._bus.close()

    def _look(self) -> None:
        """Index what is new in the log."""
        with self._turn:
            if not self._is_prepared:
                self._store.prepare()
                self._is_prepared = True
            found = answered(self._bus, lambda connection: connection.execute(_topics).all())
            topics = [each for each in found if is_wanted(each.name, ())]
            for number, name, last in topics:
                after = self._reached.get(number)
                if after is None:
                    after = max(base(number), last - MOST_INDEXED // len(topics))
                while after < last:
                    after = self._index_some(number, name, after, last)
                    gevent.sleep(0)

    def _index_some(self, number: int, topic: str, after: int, last: int) -> int:
        """Index a run of the log behind `after`; return where it ended."""

        def look(connection: Connection) -> Sequence[Any]:
            bounds = {"after": after, "last": last, "most": _AT_ONCE, "bytes": _BYTES_AT_ONCE}
            return connection.execute(_run, bounds).all()

        rows = answered(self._bus, look)
        if rows:
            self._begin = min(rows[0].at, self._begin or rows[0].at)
        read = [read_entry(topic, bytes(body), at, with_body=True) for _, at, body in rows]
        self._store.write([each for each in read if each is not None], now=time.time())
        self._reached[number] = int(rows[-1][0]) if rows else last
        return self._reached[number]
