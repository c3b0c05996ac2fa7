"""`eventbus journal` as a program, beside a test."""

from __future__ import annotations

import sys
from pathlib import Path

import sqlalchemy as sa

from eventbus.journal.tables import events, metadata, records
from eventbus.sql import Database
from tests.nsqd import Process


class Journalist:
    """The program, and what it wrote."""

    def __init__(self, bus: str, url: str | None, *words: str, folder: Path) -> None:
        self.bus = bus
        self.url = url or bus
        database = () if url is None else ("--database", url)
        self.words = (sys.executable, "-m", "eventbus.cli", "journal", *words, "--bus", bus, *database)
        self.folder = folder
        self.process = Process(*self.words, cwd=folder)
        self.database = Database(self.url, lock_timeout=300.0)

    def begin_again(self) -> None:
        """Start it once more."""
        self.process.end()
        self.process = Process(*self.words, cwd=self.folder)

    def ids(self) -> list[str]:
        """Return the ids of all events in the order in which they were written; none while there are no tables."""
        return self._read(sa.select(events.c.id).order_by(events.c.n))

    def channels(self) -> list[str]:
        """Return the channels of which records tell."""
        return self._read(sa.select(records.c.channel).order_by(records.c.n))

    def _read(self, query: sa.Select[tuple[str]]) -> list[str]:
        def look(connection: sa.Connection) -> list[str]:
            there = set(sa.inspect(connection).get_table_names())
            return list(connection.scalars(query)) if set(metadata.tables) <= there else []

        return self.database.read(look)

    def close(self) -> None:
        """End it, and look no more."""
        self.process.end()
        self.database.close()
