"""Store: writes batches into the journal's tables, each event once, and takes old batches away.

A batch is one transaction, and what retention removes goes in the same one: whatever limits are given hold after each
batch. Whoever writes holds the state's row, so that batches of several writers stand in the order of their commits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from functools import lru_cache
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.errors import ConfigurationError
from eventbus.journal.entries import Entry, stored_bytes
from eventbus.journal.tables import BATCH_BITS, VERSION, batches, events, metadata, positions, records, state
from eventbus.outcomes import Record
from eventbus.sql import Database
from eventbus.sql.statements import insert_once, is_sqlite

MOST_ROWS = 10_000
"""Most events, and most records, of one batch."""
_AT_ONCE = (512, 64, 8, 1)
"""Rows of one statement: few texts, so that each is prepared once, and long ones, since a thread that works in a database
has to wait for the interpreter after each."""
_REMOVED = 20
"""Most batches that one transaction removes."""
_EVENT = (events.c.n.name, *Entry._fields)
_RECORD = (records.c.n.name, *(each.name for each in fields(Record)))
_RECORD_BYTES = 500
_CACHE = 64 * 1024 * 1024
"""Bytes of pages in memory, and of SQLite's write-ahead log before it is copied into the file."""


class Store:
    """Writes a journal. Calls block the calling greenlet alone.

    Args:
        database: where its tables are, or will be; stays the caller's.
        keep: seconds for which a batch is kept.
        max_bytes: of all batches together, about as the database counts them; None for no limit.

    Raises:
        ConfigurationError: the limits are none.
    """

    def __init__(self, database: Database, *, keep: float = math.inf, max_bytes: int | None = None) -> None:
        if not keep > 0 or (max_bytes is not None and max_bytes <= 0):
            raise ConfigurationError("journal: give seconds and bytes above 0 to keep, or leave them out")
        self._database = database
        self._keep = keep
        self._most = math.inf if max_bytes is None else max_bytes

    def prepare(self) -> None:
        """Make the tables where they are missing.

        Raises:
            ConfigurationError: those that are there were made by a newer version.
        """
        self._database.create_tables(metadata)

        def begin(connection: Connection) -> int:
            for each in metadata.sorted_tables:  # somebody else's may be called so
                connection.execute(sa.select(each).limit(0))
            there = connection.scalar(sa.select(state.c.version))
            if there is None:
                insert_once(connection, state, [{"version": VERSION, "batch": 0, "bytes": 0}])
            return VERSION if there is None else int(there)

        there = self._database.transact(begin)
        if there != VERSION:
            raise ConfigurationError(
                f"journal in {self._database!r}: its tables have version {there}, and this library knows {VERSION}; "
                "install a newer eventbus here"
            )

    def write(
        self,
        entries: Sequence[Entry],
        told: Sequence[Record] = (),
        *,
        now: float,
        reached: Mapping[str, int] | None = None,
    ) -> int:
        """Write a batch, and return how many of its events were not there yet.

        Args:
            now: the time of the batch, in seconds since 1970; what is older by `keep` goes.
            reached: how far a log was read, by topic; written down with the batch.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: as the database has it; nothing was written.
        """

        def work(connection: Connection) -> int:
            number, held = connection.execute(
                sa.update(state).values(batch=state.c.batch + 1).returning(state.c.batch, state.c.bytes)
            ).one()
            first = int(number) << BATCH_BITS
            count = _insert(connection, events, _EVENT, [(first + n, *each) for n, each in enumerate(entries)])
            rows = [(first + n, *astuple(each)) for n, each in enumerate(told)]
            _insert(connection, records, _RECORD, rows)
            added = _bytes_of(connection, first, entries, count) + _RECORD_BYTES * len(told)
            if count or told:
                connection.execute(sa.insert(batches).values(number=number, at=now, bytes=added))
            for topic, position in (reached or {}).items():
                if not insert_once(connection, positions, [{"topic": topic, "position": position}]):
                    connection.execute(sa.update(positions).where(positions.c.topic == topic).values(position=position))
            self._remove(connection, held + added, now, is_counted=bool(added))
            return count

        return self._database.transact(work)

    def prune(self, now: float) -> bool:
        """Remove what is too old or too much, some batches at a time; return whether there is more."""

        def work(connection: Connection) -> bool:
            held = connection.scalar(sa.select(state.c.bytes).with_for_update()) or 0
            return self._remove(connection, held, now) == _REMOVED

        return self._database.transact(work)

    def reached(self) -> dict[str, int]:
        """Return how far the log of each topic was read."""
        rows = self._database.read(lambda connection: connection.execute(sa.select(positions)).all())
        return {topic: int(position) for topic, position in rows}

    def _remove(self, connection: Connection, held: int, now: float, *, is_counted: bool = False) -> int:
        """Remove the oldest batches that are too old or too much; return how many."""
        oldest = sa.select(batches).order_by(batches.c.number).limit(_REMOVED)
        count, last, before = 0, None, held
        for number, at, size in connection.execute(oldest).all():
            if at > now - self._keep and held <= self._most:
                break
            count, last = count + 1, number
            held -= size
        if last is not None:
            end = (int(last) + 1) << BATCH_BITS
            connection.execute(sa.delete(events).where(events.c.n < end))
            connection.execute(sa.delete(records).where(records.c.n < end))
            connection.execute(sa.delete(batches).where(batches.c.number <= last))
        if is_counted or held != before:
            connection.execute(sa.update(state).values(bytes=held))
        return count


def journal_database(url: sa.URL, *, lock_timeout: float = 5.0) -> Database:
    """Return the database of a journal, made to take many rows.

    Raises:
        ConfigurationError: the URL names no database that this library knows.
    """
    database = Database(url.render_as_string(hide_password=False), pool_size=2, lock_timeout=lock_timeout)
    if database.is_sqlite:

        @sa.event.listens_for(database.engine, "connect")
        def tune(connection: Any, _record: object) -> None:
            # what is inserted in the middle of an index is written twice: once into the write-ahead log, and once into the
            # file, where several changes of a page become one the later it is done
            connection.execute(f"PRAGMA cache_size = -{_CACHE // 1024}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CACHE // 4096}")

    return database


def _insert(connection: Connection, table: sa.Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> int:
    """Insert rows that are not there yet; return how many."""
    if not rows:
        return 0
    if not is_sqlite(connection):
        # a column as an array: a parameter for each value costs three times as much
        arrays = tuple(map(list, zip(*rows, strict=True)))
        return connection.exec_driver_sql(_of_arrays(table, tuple(columns)), arrays).rowcount
    count = begin = 0
    for size in _AT_ONCE:
        while len(rows) - begin >= size:
            values = tuple(chain.from_iterable(rows[begin : begin + size]))
            count += connection.exec_driver_sql(_of_values(table, tuple(columns), size), values).rowcount
            begin += size
    return count


def _begin(table: sa.Table, columns: tuple[str, ...]) -> str:
    names = ", ".join(f'"{each}"' for each in columns)
    return f"INSERT INTO {table.name} ({names})"


@lru_cache(maxsize=32)
def _of_values(table: sa.Table, columns: tuple[str, ...], size: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return f"{_begin(table, columns)} VALUES {', '.join([row] * size)} ON CONFLICT DO NOTHING"


@lru_cache(maxsize=8)
def _of_arrays(table: sa.Table, columns: tuple[str, ...]) -> str:
    kinds = {sa.Integer: "int4", sa.BigInteger: "int8", sa.Double: "float8", sa.Text: "text", sa.LargeBinary: "bytea"}
    arrays = ", ".join(f"%s::{kinds[type(table.c[each].type)]}[]" for each in columns)
    return f"{_begin(table, columns)} SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING"


def _bytes_of(connection: Connection, first: int, entries: Sequence[Entry], count: int) -> int:
    """Return the bytes of those entries of a batch that were written."""
    if count == len(entries):
        return sum(map(stored_bytes, entries))
    if count == 0:
        return 0
    there = sa.select(events.c.n).where(events.c.n >= first, events.c.n < first + (1 << BATCH_BITS))
    return sum(stored_bytes(entries[n - first]) for n in connection.scalars(there))
