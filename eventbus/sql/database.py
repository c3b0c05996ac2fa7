"""Database: units of work that never block the hub, on SQLite and PostgreSQL.

SQLite holds whatever thread it works in, so all of its work goes to one thread of its own. psycopg works with gevent
where it was imported after patching; where it was not, its work goes to threads too.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import gevent
import sqlalchemy as sa
from gevent import monkey
from gevent.threadpool import ThreadPool
from sqlalchemy import Connection, MetaData

from eventbus.errors import BusStateError, ConfigurationError, DatabaseUnreachableError
from eventbus.runtime.forks import of_another_process, owned
from eventbus.runtime.guarded_log import guarded_log
from eventbus.sql import jobs, schema, tables
from eventbus.sql.connections import Connections
from eventbus.sql.drivers import (
    READS,
    check_own,
    is_of,
    is_outage,
    parsed_url,
    postgresql_engine,
    sqlite_engine,
    watch_errors,
)
from eventbus.sql.patience import patiently
from eventbus.sql.unit import watch_units

T = TypeVar("T")

log = guarded_log("eventbus.sql")

_CHORES = 4
"""Connections of the library's own work: relay, settling, receipts that come, receipts that go."""


class Database:
    """One database of one service; a context manager that closes it.

    Args:
        url: `sqlite:///file.db` or `postgresql://user:password@host/name`; psycopg is the driver. `?schema=events` keeps the
            library's tables in a schema of PostgreSQL's, and looks there first for those of units of work.
        engine: in place of a URL a SQLAlchemy engine of your own, which stays yours, with its pool, events and conventions:
            it serves the library's own work too, and `close` leaves it open.
        pool_size: most PostgreSQL connections for units of work; relay and receipts have a few of their own beside them.
        lock_timeout: longest wait in seconds for a lock, or for a free connection.
        idle_timeout: seconds after which PostgreSQL ends a transaction of which nothing is heard, as of a stopped process.
        synchronous: SQLite's setting; FULL keeps a commit through a power cut, NORMAL only through a crash of the process.
        connect_args: for the driver's `connect`.

    Raises:
        ConfigurationError: when the URL names no database that this library knows.
    """

    def __init__(
        self,
        url: str | sa.URL | sa.Engine | None = None,
        *,
        engine: sa.Engine | None = None,
        pool_size: int = 10,
        lock_timeout: float = 5.0,
        idle_timeout: float = 300.0,
        synchronous: str = "FULL",
        connect_args: Mapping[str, Any] | None = None,
    ) -> None:
        self._threads: ThreadPool | None = None
        self._chore_threads: ThreadPool | None = None
        self._pool_size = pool_size
        self.schema: str | None = None
        given = url if engine is None else engine
        if given is None or (url is not None and engine is not None):
            raise ConfigurationError("Database(url, engine=...): give one of the two")
        self._is_owner = not isinstance(given, sa.Engine)
        if isinstance(given, sa.Engine):
            check_own(given, has_arguments=bool(connect_args))
            self.engine = self._chores = given
            self.is_sqlite = given.dialect.name == "sqlite"
        else:
            parsed, self.schema = parsed_url(given)
            self.is_sqlite = parsed.get_backend_name() == "sqlite"
            arguments = dict(connect_args or {})
            if self.is_sqlite:
                self.engine = self._chores = sqlite_engine(
                    parsed, lock_timeout=lock_timeout, synchronous=synchronous, connect_args=arguments
                )
            elif parsed.drivername == "postgresql+psycopg":
                self.engine, self._chores = (
                    postgresql_engine(
                        parsed,
                        pool_size=size,
                        lock_timeout=lock_timeout,
                        idle_timeout=idle_timeout,
                        connect_args=arguments,
                        schema=self.schema,
                    )
                    for size in (pool_size, _CHORES)
                )
            else:
                raise ConfigurationError(f"database {parsed.drivername!r}: unknown; give sqlite or postgresql (psycopg)")
        self._connections = [Connections(each, is_own=self._is_owner) for each in self.engines]
        for engine in self.engines:
            watch_errors(engine)
            watch_units(engine)
        self._is_used = not self._is_owner
        self._is_abandoned = False
        self._under_way: set[Any] = set()
        owned(self)
        if self.is_sqlite:
            self._threads = self._chore_threads = ThreadPool(1)
        elif not is_cooperative():
            self._threads = ThreadPool(pool_size)
            self._chore_threads = ThreadPool(_CHORES)
        self._reading = self.engine.execution_options(**{READS: True})

    def __repr__(self) -> str:
        return f"<Database {self.engine.url.render_as_string(hide_password=True)}>"

    @property
    def engines(self) -> list[sa.Engine]:
        """The SQLAlchemy engines: that of units of work, and where the library's own work has another one, that too."""
        return [self.engine] if self._chores is self.engine else [self.engine, self._chores]

    @property
    def most_connections(self) -> int | None:
        """Connections that a process takes at the server at most; 1 on SQLite, None with an engine of your own, whose pool
        decides. All processes together, and what operators need, have to stay below the server's `max_connections`."""
        return 1 if self.is_sqlite else self._pool_size + _CHORES if self._is_owner else None

    def transact(self, work: Callable[[Connection], T], *, patience: float = 0.0) -> T:
        """Return what `work` returns, after its transaction is committed; rolled back when it raises.

        Blocks the calling greenlet alone. On SQLite, `work` runs in another thread: it must not use the bus, only its
        connection and what belongs to it.

        Args:
            patience: seconds for which it is tried again while the database is away, busy or out of connections: for the
                note of what was done outside and must not be done twice. A connection that breaks at the commit leaves open
                whether it was committed, so `work` must be harmless the second time.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: as the database has it; nothing was committed.
        """
        run: Callable[[], T] = partial(self._run, self._threads, work, self.engine)
        return run() if patience <= 0 else patiently(run, patience, self.is_away)

    def read(self, work: Callable[[Connection], T]) -> T:
        """The same for work that only reads: on SQLite it does not wait for writers, and no writer waits for it."""
        result: T = self._run(self._threads, work, self._reading)
        return result

    def chore(self, work: Callable[[Connection], T]) -> T:
        """`transact` for the library's own work, on connections of its own: whatever holds them up, others go on."""
        result: T = self._run(self._chore_threads, work, self._chores)
        return result

    def is_away(self, error: BaseException) -> bool:
        """Whether an error says that this database was away or busy, and nothing of what was asked of it."""
        return is_outage(error) and (is_of((self.engine, self._chores), error) or not isinstance(error, sa.exc.DBAPIError))

    def _run(self, threads: ThreadPool | None, work: Callable[[Connection], Any], engine: sa.Engine) -> Any:
        self._check_process()
        self._is_used = True
        here = gevent.getcurrent()
        is_outermost = here not in self._under_way
        self._under_way.add(here)
        try:
            return jobs.transact(work, engine, jobs.Job()) if threads is None else self._apply(threads, work, engine)
        except Exception:  # in a child that was forked meanwhile, whatever it is
            self._check_process()
            raise
        finally:
            if is_outermost:
                self._under_way.discard(here)

    def _apply(self, threads: ThreadPool, work: Callable[[Connection], Any], engine: sa.Engine) -> Any:
        if jobs.in_thread.get():
            raise BusStateError(
                "a unit of work is under way already and another one inside would wait for it for ever; use its connection"
            )
        job = jobs.Job()
        run = partial(job.run, hold=self._connections[0].turn) if self.is_sqlite else job.run
        try:
            threads.apply(contextvars.copy_context().run, (run, work, engine))
        except BaseException:  # thrown into this greenlet: the thread must not go on for nobody
            job.cancel()
            raise
        if job.error is not None:
            raise job.error
        return job.result

    def create_tables(self, *metadata: MetaData) -> None:
        """Make the tables of `metadata` where they are missing, and bring the library's own up to this version.

        Safe to call from all replicas at a time.
        """

        def create(connection: Connection) -> None:
            schema.lock(connection)
            with schema.within(connection, self.schema, is_made=True):
                if tables.metadata in metadata:
                    schema.upgrade(connection)
                for each in metadata:
                    each.create_all(connection)

        self.transact(create)

    def check_tables(self) -> None:
        """Return if the library's own tables are there, in the version that this library knows.

        Raises:
            ConfigurationError: they are not; says what to do.
        """
        self.read(partial(schema.check, schema=self.schema))

    def ping(self) -> None:
        """Return if the database answers.

        Raises:
            DatabaseUnreachableError: it does not; says why.
        """
        try:
            self.read(lambda connection: connection.scalar(sa.select(1)))
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            why = str(getattr(error, "orig", None) or error).strip().split("\n", 1)[0]
            raise DatabaseUnreachableError(f"{self!r} does not answer: {why}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections. Idempotent; in a forked child those of its parent stay as they are."""
        if self._is_abandoned:
            return
        if self._is_owner:
            for threads, engine in ((self._threads, self.engine), (self._chore_threads, self._chores)):
                if threads is None:
                    engine.dispose()
                else:
                    threads.apply(engine.dispose)
        for threads in {self._threads, self._chore_threads}:
            if threads is not None:
                threads.kill()
        self._threads = self._chore_threads = None

    # -- forks ------------------------------------------------------------------------------------------------------

    def quiesce(self) -> None:
        """Before a fork, called by it: have nothing open that no copy may be made of."""
        if not jobs.in_thread.get():
            for each in self._connections:
                each.quiesce()

    def resume(self) -> None:
        """After a fork, called by it in the parent."""
        for each in self._connections:
            each.resume()

    def abandon(self) -> None:
        """In a forked child, called by the fork: let go of the connections. One that was not used yet stays usable."""
        if not self._is_used:
            self.resume()
            owned(self)
            return
        self._is_abandoned = True
        for each in self._connections:
            each.abandon()
        for greenlet in self._under_way - {gevent.getcurrent()}:
            gevent.kill(greenlet, self._not_ours())

    def _check_process(self) -> None:
        if self._is_abandoned:
            raise self._not_ours() from None

    def _not_ours(self) -> BusStateError:
        return of_another_process(repr(self), "Database")


def is_cooperative() -> bool:
    """Whether psycopg waits with gevent, in the greenlet that asks, and not in threads."""
    if not monkey.is_module_patched("select"):
        return False
    import psycopg.waiting

    if getattr(psycopg.waiting.wait, "__name__", "") != "wait_c":
        return True
    log.warning("psycopg was imported before gevent patched the process; PostgreSQL works in threads. Patch first thing.")
    return False
