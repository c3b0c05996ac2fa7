"""Backlog: what an outbox still has to do, in figures."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.sql.database import Database
from eventbus.sql.tables import outbox


@dataclass(frozen=True, slots=True)
class Backlog:
    """What an outbox still has to do.

    Attributes:
        waiting: rows that are due and not published.
        delayed: rows whose time has not come.
        unsettled: rows that are published and wait for receipts.
        oldest: age in seconds of the oldest row that is due and not published; 0.0 where there is none.
        is_taken: whether any relay has had a row that is due: where rows are old and it has not, nobody relays.
        refused: rows among the waiting and delayed ones that the broker refused; see `eventbus outbox list`.
    """

    waiting: int
    delayed: int
    unsettled: int
    oldest: float
    refused: int = 0
    is_taken: bool = True


def backlog_of(database: Database, now: float) -> Backlog:
    """Return what is still to do at `now`, in seconds since 1970; one query."""
    waits = outbox.c.published_at.is_(None)
    is_due = outbox.c.due_at <= now
    age = sa.func.min(sa.func.coalesce(sa.func.nullif(outbox.c.due_at, 0), outbox.c.created_at))

    def number(*where: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
        return sa.select(sa.func.count()).select_from(outbox).where(*where).scalar_subquery()

    # each by the index of its rows: among millions that are settled they are few
    counts = sa.select(
        number(waits, is_due),
        number(waits, ~is_due),
        number(~waits, outbox.c.settled_at.is_(None)),
        sa.select(age).where(waits, is_due).scalar_subquery(),
        number(waits, outbox.c.refusals > 0),
        number(waits, is_due, (outbox.c.leased_until > 0) | (outbox.c.refusals > 0)),
    )

    def count(connection: Connection) -> Backlog:
        row = connection.execute(counts).one()
        return Backlog(row[0], row[1], row[2], 0.0 if row[3] is None else max(now - row[3], 0.0), row[4], row[5] > 0)

    return database.read(count)
