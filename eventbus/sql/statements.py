"""Statements that both databases say in words of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite


def is_sqlite(connection: Connection) -> bool:
    """Whether the connection is one to SQLite."""
    return connection.dialect.name == "sqlite"


def insert_once(connection: Connection, table: sa.Table, rows: list[dict[str, Any]]) -> int:
    """Insert the rows that are not there yet; return how many that were."""
    return len(inserted(connection, table, rows))


def inserted(connection: Connection, table: sa.Table, rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Insert the rows that are not there yet; return the primary keys of those."""
    if not rows:
        return []
    insert: Any = sqlite.insert if is_sqlite(connection) else postgresql.insert
    # rows as parameters and not in the statement: only so SQLAlchemy compiles it once and for all
    done = insert(table).on_conflict_do_nothing().returning(*table.primary_key)
    return [tuple(row) for row in connection.execute(done, rows[0] if len(rows) == 1 else rows)]


def insert_and_notify(connection: Connection, table: sa.Table, row: dict[str, Any], channel: str) -> None:
    """Insert a row into PostgreSQL that is not there yet, and tell those who listen to `channel` when it is committed.

    One statement for both. However many rows a transaction inserts, a listener hears of it once.
    """
    insert = postgresql.insert(table).on_conflict_do_nothing().returning(sa.func.pg_notify(channel, ""))
    connection.execute(insert, row)


def skip_locked(query: sa.Select[Any]) -> sa.Select[Any]:
    """Let `query` lock its rows and pass over those that others hold; SQLite, with one writer, needs neither."""
    return query.with_for_update(skip_locked=True)


def within(rows: Sequence[Any], most: int) -> list[int]:
    """Return the ids of the first rows, each (id, size), that have at most so many bytes together; of one at least."""
    taken: list[int] = []
    total = 0
    for identifier, size in rows:
        total += size
        if taken and total > most:
            break
        taken.append(identifier)
    return taken


def delete_some(
    connection: Connection,
    table: sa.Table,
    before: sa.ColumnElement[bool],
    *,
    limit: int,
    order: sa.Column[Any],
    also: tuple[sa.Column[Any], sa.Column[Any]] | None = None,
) -> int:
    """Delete up to `limit` rows as one set, passing over those that others hold; return how many.

    Rows are named by where they lie: a set of keys would make the planner look through the whole table when it errs. They
    are taken in the order of an index: from its beginning, dead rows that no vacuum has seen yet cost next to nothing.

    Args:
        order: the column of that index.
        also: a column of the table and one of another table, whose rows go too where the two are equal.
    """
    if is_sqlite(connection):
        return _delete_some_here(connection, table, before, limit, order, also)
    place: sa.ColumnElement[Any] = sa.literal_column("ctid")
    chosen = skip_locked(sa.select(place).select_from(table).where(before).order_by(order).limit(limit))
    gone = sa.delete(table).where(place == sa.any_(sa.func.array(chosen.scalar_subquery())))
    if also is None:
        return connection.execute(gone).rowcount
    # one statement: to send thousands of keys back and forth costs more than all the rest
    mine, theirs = also
    keys = gone.returning(mine).cte("gone")
    others = sa.delete(theirs.table).where(theirs == sa.any_(sa.func.array(sa.select(keys.c[mine.name]).scalar_subquery())))
    return connection.scalar(sa.select(sa.func.count()).select_from(keys).add_cte(others.cte("others"))) or 0


def _delete_some_here(
    connection: Connection,
    table: sa.Table,
    before: sa.ColumnElement[bool],
    limit: int,
    order: sa.Column[Any],
    also: tuple[sa.Column[Any], sa.Column[Any]] | None,
) -> int:
    place: sa.ColumnElement[Any] = sa.literal_column("rowid")
    gone = sa.delete(table).where(place.in_(sa.select(place).select_from(table).where(before).order_by(order).limit(limit)))
    if also is None:
        return connection.execute(gone).rowcount
    mine, theirs = also
    keys = list(connection.scalars(gone.returning(mine)))
    for first in range(0, len(keys), 1000):
        connection.execute(sa.delete(theirs.table).where(theirs.in_(keys[first : first + 1000])))
    return len(keys)


# -- a lock for the register of subscribers -------------------------------------------------------------------------------

_REGISTER = 0x65766574
"""Any number that nothing else locks."""


def lock_register(connection: Connection) -> None:
    """Let nobody settle a row until this transaction, which changes who is waited for, has ended."""
    if not is_sqlite(connection):
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_REGISTER)))


def may_settle(connection: Connection) -> bool:
    """Whether nobody is changing who is waited for, from now to the end of this transaction. Never waits.

    Under READ COMMITTED two transactions do not see each other: one could settle a row for all that it knows of, while the
    other adds a subscriber and sees no settled row to open again. A statement of its own, since the next one's snapshot must
    be newer than the lock.
    """
    return is_sqlite(connection) or bool(connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock_shared(_REGISTER))))
