"""Finding: events and chains in the journal's tables, each question answered by an index and within bounds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from functools import partial
from itertools import accumulate
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.errors import ConfigurationError, DatabaseUnreachableError, DecodeError
from eventbus.journal.logged import Chain, Logged, Uses
from eventbus.journal.tables import events, records
from eventbus.journal.using import uses
from eventbus.outcomes import Record
from eventbus.sql import Database
from eventbus.wire.envelope import read_text

T = TypeVar("T")

LEAST_BEGINNING = 4
"""Fewest characters of what may be the beginning of an id or a subject."""
MOST_FOUND = 1000
"""Most events that one search returns."""
MOST_EVENTS = 2000
"""Most events of a chain that is returned."""
MOST_RECORDS = 10_000
"""Most records of a chain that is returned."""
MOST_BYTES = 16 * 1024 * 1024
"""Bytes of bodies in one answer, about."""
_PAGE = 500
"""Most events that are read at a time where all are wanted."""
_CANDIDATES = 10_000
"""Most rows that one index may give to one search: a common beginning must not make it read the whole journal."""

_log = sa.table("eventbus_bus_log", sa.column("id"), sa.column("body"))
_EVENT = [each for each in events.c if each.name != "body"]
_RECORD = [records.c[each.name] for each in fields(Record)]


class TableReading:
    """A `Reading` of the journal's tables.

    Args:
        database: where they are; closed with this.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

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
        if not all(map(_can_be_there, (text, subject or "", type or ""))):
            return ()
        filters: list[sa.ColumnElement[bool]] = []
        if subject is not None:
            filters.append(events.c.subject == subject)
        if type is not None:
            filters.append(events.c.type == type)
        if since is not None:
            filters.append(events.c.time >= since)
        most = max(0, min(limit, MOST_FOUND))

        def look(connection: Connection) -> Sequence[Logged]:
            found: dict[int, Any] = {}
            for one in _searches(text):
                query = sa.select(*_EVENT).where(*filters).order_by(events.c.time.desc(), events.c.n.desc()).limit(most)
                if one is not None:
                    query = query.where(events.c.n.in_(one))
                found |= {row.n: row for row in connection.execute(query)}
            newest = sorted(found.values(), key=lambda row: (-row.time, -row.n))[:most]
            return _with_bodies(connection, newest)

        return self._read(look)

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
        named = {events.c.topic: topic, events.c.subject: subject, events.c.type: type}
        if not all(_can_be_there(text or "") for text in named.values()):
            return
        filters = [column == text for column, text in named.items() if text is not None]
        if since is not None:
            filters.append(events.c.time >= since)
        if until is not None:
            filters.append(events.c.time < until)
        end = self._read(lambda connection: connection.scalar(sa.select(sa.func.max(events.c.n))))
        filters.append(events.c.n <= (-1 if end is None else end))
        after = -1
        while page := self._read(partial(_page, filters=filters, after=after)):
            after = page[-1][0]
            for _, logged in page:
                yield logged

    def chain(self, key: str) -> Chain | None:
        """As `Reading.chain`."""
        if not key or not _can_be_there(key):
            return None

        def look(connection: Connection) -> Chain | None:
            correlation = _correlation(connection, key)
            return None if correlation is None else _chain(connection, correlation)

        return self._read(look)

    def uses(self, topic: str, type: str, version: int) -> Uses:
        """As `Reading.uses`."""
        return self._read(partial(uses, topic=topic, type=type, version=version))

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _read(self, work: Callable[[Connection], T]) -> T:
        return answered(self._database, work)


def answered(database: Database, work: Callable[[Connection], T]) -> T:
    """Return what `work` reads.

    Raises:
        DatabaseUnreachableError: the database does not answer.
        ConfigurationError: it cannot be read.
    """
    try:
        return database.read(work)
    except sa.exc.SQLAlchemyError as error:
        why = str(getattr(error, "orig", None) or error).strip().split("\n", 1)[0]
        if database.is_away(error):
            raise DatabaseUnreachableError(f"journal in {database!r} does not answer: {why}") from None
        raise ConfigurationError(f"journal in {database!r} cannot be read: {why}") from None


def _can_be_there(text: str) -> bool:
    """Whether an attribute can have this text; a database may not even be able to compare others."""
    try:
        read_text("subject", text)
    except DecodeError:
        return False
    return True


def _searches(text: str) -> Sequence[sa.Select[Any] | None]:
    """Return queries for the numbers of candidates, one for each index that may find the text; None for all rows."""
    if not text:
        return (None,)
    found = [_exactly(each, text) for each in (events.c.id, events.c.correlation, events.c.subject, events.c.type)]
    if len(text) >= LEAST_BEGINNING:
        found += [_beginning(each, text) for each in (events.c.id, events.c.subject)]
    return found


def _exactly(column: sa.Column[Any], text: str) -> sa.Select[Any]:
    order = events.c.time if column is events.c.type else column
    return sa.select(events.c.n).where(column == text).order_by(order.desc(), events.c.n.desc()).limit(_CANDIDATES)


def _beginning(column: sa.Column[Any], text: str) -> sa.Select[Any]:
    return (
        sa.select(events.c.n)
        .where(*_begins(column, text))
        .order_by(column.desc())  # ids of UUIDv7 begin with their time
        .limit(_CANDIDATES)
    )


def _begins(column: sa.Column[Any], text: str) -> list[sa.ColumnElement[bool]]:
    end = behind(text)
    return [column >= text] if end is None else [column >= text, column < end]


def behind(text: str) -> str | None:
    """Return the least text, by its code points, that is greater than all that begin with `text`; None if none is."""
    text = text.rstrip("\U0010ffff")
    if not text:
        return None
    following = ord(text[-1]) + 1
    return text[:-1] + chr(0xE000 if following == 0xD800 else following)  # surrogates are no characters


def _page(connection: Connection, filters: Sequence[sa.ColumnElement[bool]], after: int) -> Sequence[tuple[int, Logged]]:
    """Return events behind a number, with theirs, in the order in which they were written; as many as fit."""
    query = sa.select(*_EVENT).where(events.c.n > after, *filters).order_by(events.c.n).limit(_PAGE)
    rows = connection.execute(query).all()
    sizes = list(accumulate(row.size for row in rows))
    some = rows[: max(1, bisect_right(sizes, MOST_BYTES))]
    return [(row.n, each) for row, each in zip(some, _with_bodies(connection, some), strict=True)]


def _fitting(rows: Sequence[Any]) -> Sequence[Any]:
    """Return the rows whose bodies an answer may hold; the first in any case."""
    fitting: list[Any] = []
    room = MOST_BYTES
    for row in rows:
        if row.size <= room or not fitting:
            room -= row.size
            fitting.append(row)
    return fitting


def _with_bodies(connection: Connection, rows: Sequence[Any]) -> Sequence[Logged]:
    wanted = _fitting(rows)
    bodies: dict[int, bytes] = {}
    for part in range(0, len(wanted), 500):
        some = wanted[part : part + 500]
        numbers = [row.n for row in some if row.place is None]
        if numbers:
            query = sa.select(events.c.n, events.c.body).where(events.c.n.in_(numbers), events.c.body.is_not(None))
            bodies |= {n: bytes(body) for n, body in connection.execute(query)}
        places = {row.place: row.n for row in some if row.place is not None}
        if places:
            query = sa.select(_log.c.id, _log.c.body).where(_log.c.id.in_(list(places)))
            bodies |= {places[id]: bytes(body) for id, body in connection.execute(query)}
    return [
        Logged(
            *(row.id, row.source, row.type, row.version, row.topic, row.correlation, row.cause, row.subject),
            *(row.time, row.size, bodies.get(row.n)),
        )
        for row in rows
    ]


def _correlation(connection: Connection, key: str) -> str | None:
    """Return the chain that a key names: by an id, a correlation, a subject, and at last a unique beginning of an id."""
    newest = sa.select(events.c.correlation).order_by(events.c.time.desc(), events.c.n.desc()).limit(1)
    for column in (events.c.id, events.c.correlation, events.c.subject):
        some = sa.select(events.c.n).where(column == key).order_by(column.desc(), events.c.n.desc()).limit(_CANDIDATES)
        found: str | None = connection.scalar(newest.where(events.c.n.in_(some)))
        if found is not None:
            return found
    found = connection.scalar(sa.select(records.c.correlation).where(records.c.correlation == key).limit(1))
    if found is not None or len(key) < LEAST_BEGINNING:
        return found
    begin = sa.select(events.c.id, events.c.correlation).where(*_begins(events.c.id, key)).limit(100)
    chains = {correlation for _, correlation in connection.execute(begin)}
    return chains.pop() if len(chains) == 1 else None


def _chain(connection: Connection, correlation: str) -> Chain:
    query = sa.select(*_EVENT).where(events.c.correlation == correlation)
    rows = connection.execute(query.order_by(events.c.time, events.c.n).limit(MOST_EVENTS + 1)).all()
    told = sa.select(*_RECORD).where(records.c.correlation == correlation)
    tales = connection.execute(told.order_by(records.c.end, records.c.n).limit(MOST_RECORDS + 1)).all()
    return Chain(
        correlation,
        _with_bodies(connection, rows[:MOST_EVENTS]),
        [Record(*row) for row in tales[:MOST_RECORDS]],
        is_cut=len(rows) > MOST_EVENTS or len(tales) > MOST_RECORDS,
    )
