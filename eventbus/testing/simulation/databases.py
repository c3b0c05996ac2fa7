"""Databases of a simulation: found at the services, and used in the greenlet that asks, so that every run is alike."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import MetaData

    from eventbus.service import Service
    from eventbus.sql import Database
    from eventbus.testing.simulation.built import Built

_templates: dict[tuple[int, ...], _Template] = {}


def of_service(service: Service) -> list[Any]:
    """Return the databases of a service's inboxes and outboxes."""
    found = {id(each): each for part in service.attachments if (each := getattr(part, "database", None)) is not None}
    return list(found.values())


def databases_of(built: Built) -> list[Any]:
    """Return the databases that are known before anything starts."""
    found = {id(each): each for service in built.services for each in of_service(service)}
    for value in vars(built.subject).values() if hasattr(built.subject, "__dict__") else ():
        if hasattr(value, "engines") and hasattr(value, "transact"):
            found[id(value)] = value
    return list(found.values())


@contextmanager
def in_this_greenlet(databases: Sequence[Any], begins: Callable[[Any], None]) -> Iterator[None]:
    """Let databases on SQLite work without threads while the block runs: in the order in which they are asked.

    Args:
        begins: called with the database before each unit of work.
    """
    before = [(each, each._threads, each._chore_threads) for each in databases if each.is_sqlite]
    for each in databases:
        each._run = _announced(each, begins)
    for each, *_ in before:
        each._threads = each._chore_threads = None
    try:
        yield
    finally:
        for each, threads, chores in before:
            each._threads, each._chore_threads = threads, chores
        for each in databases:
            del each._run


def _announced(database: Any, begins: Callable[[Any], None]) -> Callable[..., Any]:
    run = database._run

    def announced(*arguments: Any) -> Any:
        begins(database)
        return run(*arguments)

    return announced


def outbox_rows(database: Any, *, with_receipts: bool = False) -> list[tuple[str, str, str, bool]]:
    """Return topic, type, event id and whether it is settled, of the rows of an outbox; of all, or of those that want
    receipts."""
    from eventbus.sql.tables import outbox

    query = outbox.select()
    if with_receipts:
        query = query.where(outbox.c.wants_receipts)
    with database.engine.connect() as connection:
        return [(row.topic, row.type, row.event_id, row.settled_at is not None) for row in connection.execute(query)]


def inbox_rows(database: Any) -> list[tuple[str, str, str]]:
    """Return channel, topic and event id of what is claimed in a database, or kept in it as a dead letter."""
    from eventbus.sql.tables import dead_letters, inbox

    with database.engine.connect() as connection:
        rows = [row for table in (inbox, dead_letters) for row in connection.execute(table.select())]
        return [(row.channel, row.topic, row.event_id) for row in rows]


@contextmanager
def listening(engines: Sequence[Any], listeners: Sequence[tuple[str, Callable[..., None]]]) -> Iterator[None]:
    """Have functions called at events of SQLAlchemy engines, in this order, while the block runs."""
    if not engines:
        yield
        return
    from sqlalchemy import event

    pairs = [(engine, name, function) for engine in engines for name, function in listeners]
    for each in pairs:
        event.listen(*each)
    try:
        yield
    finally:
        for each in pairs:
            event.remove(*each)


@contextmanager
def fresh_database(*metadata: MetaData) -> Iterator[Database]:
    """Give a database on SQLite with the library's tables and those of `metadata`, empty, for as long as the block runs.

    The tables are made once; each further database is a copy of that file. Statements are compiled once for all of them.
    """
    key = tuple(map(id, metadata))
    made = _templates.get(key) or _templates.setdefault(key, _Template(metadata))
    database = made.take()
    try:
        yield database
    finally:
        made.give_back(database)


class _Template:
    """A file with tables and no rows, and the databases that have been made of it and are free."""

    def __init__(self, metadata: Sequence[MetaData]) -> None:
        from eventbus.sql import Database, tables

        self._metadata = metadata  # kept, so that its id is nobody else's
        self._folder = Path(tempfile.mkdtemp(prefix="simulation-"))
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        self._file = self._folder / "template.db"
        with Database(f"sqlite:///{self._file}", synchronous="OFF") as first:
            first.create_tables(tables.metadata, *metadata)
        self._free: list[Database] = []
        self._count = 0

    def take(self) -> Database:
        """Return a database without rows."""
        from eventbus.sql import Database

        if self._free:
            database = self._free.pop()
        else:
            self._count += 1
            database = Database(f"sqlite:///{self._folder / f'{self._count}.db'}", synchronous="OFF")
        path = str(database.engine.url.database)
        for end in ("-wal", "-shm"):
            Path(path + end).unlink(missing_ok=True)
        shutil.copyfile(self._file, path)
        return database

    def give_back(self, database: Database) -> None:
        """Take one back: its connections end, and what its engine has compiled stays."""
        for engine in database.engines:
            engine.dispose()
        self._free.append(database)
