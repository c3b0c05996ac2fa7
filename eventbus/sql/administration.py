"""Administration: what an operator asks of an outbox's tables, without a running relay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.sql.database import Database
from eventbus.sql.receipts import ANY
from eventbus.sql.register import SLACK
from eventbus.sql.statements import skip_locked
from eventbus.sql.tables import outbox, receipts, subscribers

_STEP = 5000
"""Most rows of one transaction."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A row of the outbox that is not settled.

    Attributes:
        state: "waiting", "refused" or "unsettled".
        created_at, next_at: seconds since 1970; `next_at` is when something is to be done with it, None for at once.
        attempts: publications.
        refusals: how often the broker refused it.
        size: of the event in bytes.
        error: why the broker refused it.
    """

    event_id: str
    topic: str
    type: str
    state: str
    created_at: float
    next_at: float | None
    attempts: int
    refusals: int
    size: int
    error: str | None


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A channel that is waited for; instants in seconds since 1970."""

    topic: str
    type: str
    channel: str
    since: float
    seen_at: float


def open_rows(database: Database, *, topic: str | None = None, refused: bool = False, limit: int = 50) -> list[OutboxRow]:
    """Return rows that are not settled, oldest first."""
    where: list[sa.ColumnElement[bool]] = [outbox.c.settled_at.is_(None)]
    if topic is not None:
        where.append(outbox.c.topic == topic)
    if refused:
        where += [outbox.c.published_at.is_(None), outbox.c.refusals > 0]
    columns = [each for each in outbox.columns if each.name != "body"]
    query = sa.select(*columns, sa.func.length(outbox.c.body).label("size")).where(*where).order_by(outbox.c.id).limit(limit)

    def look(connection: Connection) -> list[OutboxRow]:
        found = []
        for row in connection.execute(query):
            if row.published_at is not None:
                state, next_at = "unsettled", row.next_at
            else:
                state, next_at = "refused" if row.refusals else "waiting", row.due_at or None
            found.append(
                OutboxRow(
                    row.event_id,
                    row.topic,
                    row.type,
                    state,
                    row.created_at,
                    next_at,
                    row.attempts,
                    row.refusals,
                    row.size,
                    row.error,
                )
            )
        return found

    return database.read(look)


def drop(database: Database, event_ids: Sequence[str]) -> int:
    """Remove rows that are not settled, for good: the events are not published, or not again. Return how many."""
    gone = sa.delete(outbox).where(outbox.c.event_id.in_(event_ids), outbox.c.settled_at.is_(None))
    return database.transact(lambda connection: connection.execute(gone).rowcount)


def all_subscribers(database: Database) -> list[Subscriber]:
    """Return the channels that are known to keep an inbox."""
    query = sa.select(subscribers).order_by(subscribers.c.topic, subscribers.c.channel, subscribers.c.type)
    return database.read(
        lambda connection: [
            Subscriber(row.topic, row.type, row.channel, row.since, row.seen_at) for row in connection.execute(query)
        ]
    )


def forget(database: Database, topic: str, channel: str) -> int:
    """Take a channel out of the register; return how many types of it there were. One that lives comes back by itself.

    Rows that wait for nobody else come due at once, so that the outbox settles them in its next round. Called again after
    it was cut short, it goes on.
    """
    gone = sa.delete(subscribers).where(subscribers.c.topic == topic, subscribers.c.channel == channel)
    count: int = database.transact(lambda connection: connection.execute(gone).rowcount)
    last: int | None = 0
    while last is not None:
        last = database.transact(lambda connection, after=last: _come_due(connection, topic, after))  # type: ignore[misc]
    return count


def _come_due(connection: Connection, topic: str, after: int) -> int | None:
    """Let up to _STEP rows behind `after` that nobody is missing for be looked at now; return the last where more may be."""
    answered = sa.exists().where(receipts.c.event_id == outbox.c.event_id, receipts.c.channel == subscribers.c.channel)
    missing = sa.exists().where(
        subscribers.c.topic == outbox.c.topic,
        subscribers.c.type.in_([outbox.c.type, ANY]),
        subscribers.c.since <= outbox.c.published_at + SLACK,
        ~answered.correlate(outbox, subscribers),
    )
    is_open = outbox.c.published_at.is_not(None) & outbox.c.settled_at.is_(None)
    page = sa.select(outbox.c.id).where(is_open, outbox.c.topic == topic, outbox.c.id > after)
    rows = list(connection.scalars(page.order_by(outbox.c.id).limit(_STEP)))
    later = sa.select(outbox.c.id).where(outbox.c.id.in_(rows), outbox.c.next_at > 0, ~missing.correlate(outbox))
    free = list(connection.scalars(skip_locked(later)))  # whoever holds the others looks at them
    connection.execute(sa.update(outbox).where(outbox.c.id.in_(free)).values(next_at=0.0))
    return rows[-1] if len(rows) == _STEP else None
