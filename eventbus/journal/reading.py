"""Reading: what a page and commands ask of a journal, wherever it is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Protocol

import sqlalchemy as sa

from eventbus.errors import ConfigurationError, TablesNotReadyError
from eventbus.journal.addresses import database_url
from eventbus.journal.finding import TableReading, answered
from eventbus.journal.log_reading import TOPICS, LogReading
from eventbus.journal.logged import Chain, Logged, Use, Uses
from eventbus.journal.tables import events
from eventbus.sql import Database

__all__ = ["Chain", "Logged", "Reading", "Use", "Uses", "open_reading"]


class Reading(Protocol):
    """Answers questions about the past. Calls block the calling greenlet alone.

    All raise DatabaseUnreachableError where the database does not answer, and ConfigurationError where it cannot be read.
    """

    def find(
        self,
        text: str = "",
        *,
        subject: str | None = None,
        type: str | None = None,
        since: float | None = None,
        limit: int = 50,
    ) -> Sequence[Logged]:
        """Return events, the newest first.

        Args:
            text: an id or its beginning, a correlation, a subject or its beginning, or a type; all if empty. A beginning has
                4 characters at least. Where thousands begin so, the last ones by the alphabet are looked at.
            subject: of this subject alone.
            type: of this type alone.
            since: published at this instant or later, in seconds since 1970.
            limit: so many at most, and 1,000 in any case.
        """
        ...

    def past(
        self,
        *,
        topic: str | None = None,
        subject: str | None = None,
        type: str | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> Iterator[Logged]:
        """Yield all events that fit, in the order in which they were logged, some at a time. It ends where the journal ended
        when it began.

        Args:
            since, until: published at the first instant or later, and before the second, in seconds since 1970.
        """
        ...

    def chain(self, key: str) -> Chain | None:
        """Return the chain that a key names: the id of one of its events, its correlation, the subject of one (of several
        chains the newest), or a beginning of an id that belongs to one chain alone; None where there is none."""
        ...

    def uses(self, topic: str, type: str, version: int) -> Uses:
        """Return who sent a version of an event, and which channels had deliveries of it."""
        ...

    def close(self) -> None:
        """Close what is open. Idempotent."""
        ...


def open_reading(url: str) -> Reading:
    """Return a reading of the journal in a database; where there is a bus and no journal, of the newest events of its log.

    Args:
        url: `sqlite:///journal.db` or `postgresql://user@host/database`; options of a bus URL are passed over.

    Raises:
        TablesNotReadyError: there is no journal.
        ConfigurationError: the URL names no database that can be read.
        DatabaseUnreachableError: it does not answer.
    """
    address = database_url(url)
    path = address.database if address.drivername == "sqlite" else None
    if path is not None and not os.path.exists(path):
        raise ConfigurationError(f"journal: there is no file {path}; name the one that `eventbus journal` writes")
    database = Database(address.render_as_string(hide_password=False))
    try:
        database.ping()
        there = answered(database, lambda connection: set(sa.inspect(connection).get_table_names()))
        if events.name in there:
            return TableReading(database)
        if TOPICS in there:
            return LogReading(database)
        raise TablesNotReadyError(f"{database!r} holds no journal; `eventbus journal --database URL` writes one")
    except BaseException:
        database.close()
        raise
