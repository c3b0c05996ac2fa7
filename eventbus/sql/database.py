"""Database: units of work that never block the hub, on SQLite and PostgreSQL.

SQLite holds whatever thread it works in, so all of its work goes to one thread of its own. psycopg works with gevent
where it was imported after patching; where it was not, its work goes to threads too.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import sqlalchemy as sa
from gevent import monkey
from gevent.threadpool import ThreadPool
from sqlalchemy import Connection, MetaData, event
from sqlalchemy.dialects import postgresql, sqlite

from eventbus.errors import BusStateError, ConfigurationError

T = TypeVar("T")

log = logging.getLogger("eventbus.sql")

_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
_AFTER_COMMIT = "eventbus_after_commit"
_READS = "eventbus_reads"
_in_thread: ContextVar[bool] = ContextVar("eventbus_in_database_thread", default=False)
_TABLES_LOCK = 0x6576656E  # any number that nothing else locks; "even"
_CONNECT = {
    # a broken network is noticed in seconds and not in the kernel's minutes
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15000,
}


class Database:
    """One database of one service.

    Args:
        url: `sqlite:///file.db` or `postgresql://user:password@host/name`; psycopg is the driver.
        pool_size: most PostgreSQL connections, and so units of work at a time.
        lock_timeout: longest wait in seconds for SQLite's write lock, or for a free connection.
        synchronous: SQLite's setting; FULL keeps a commit through a power cut, NORMAL only through a crash of the process.

    Raises:
        ConfigurationError: when the URL names no database that this library knows.
    """

    def __init__(
        self, url: str | sa.URL, *, pool_size: int = 10, lock_timeout: float = 5.0, synchronous: str = "FULL"
    ) -> None:
        try:
            parsed = sa.make_url(url)
        except sa.exc.ArgumentError:
            raise ConfigurationError(
                "database URL is not readable; write sqlite:///file.db or postgresql://user:password@host/name"
            ) from None
        parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self._threads: ThreadPool | None = None
        if self.is_sqlite:
            self.engine = _sqlite(parsed, lock_timeout, synchronous)
            self._threads = ThreadPool(1)
        elif parsed.drivername == "postgresql+psycopg":
            self.engine = sa.create_engine(
                parsed,
                pool_size=pool_size,
                max_overflow=0,
                pool_timeout=lock_timeout,
                pool_pre_ping=True,
                connect_args=_CONNECT,
            )
            if not _is_cooperative():
                self._threads = ThreadPool(pool_size)
        else:
            raise ConfigurationError(f"database {parsed.drivername!r}: unknown; give sqlite or postgresql (psycopg)")
        self._reading = self.engine.execution_options(**{_READS: True})

    def __repr__(self) -> str:
        return f"<Database {self.engine.url.render_as_string(hide_password=True)}>"

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` returns, after its transaction is committed; rolled back when it raises.

        Blocks the calling greenlet alone. On SQLite, `work` runs in another thread: it must not use the bus, only its
        connection and what belongs to it.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: as the database has it; nothing was committed.
        """
        result: T = self._run(self._transact, work, self.engine)
        return result

    def read(self, work: Callable[[Connection], T]) -> T:
        """The same for work that only reads: on SQLite it does not wait for writers, and no writer waits for it."""
        result: T = self._run(self._transact, work, self._reading)
        return result

    @staticmethod
    def _transact(work: Callable[[Connection], T], engine: sa.Engine) -> T:
        with engine.connect() as connection:
            connection.info.pop(_AFTER_COMMIT, None)  # of a transaction on this pooled connection that failed
            with connection.begin():
                result = work(connection)
            callbacks = connection.info.pop(_AFTER_COMMIT, ())
        for callback in callbacks:
            callback()
        return result

    def _run(self, work: Callable[..., Any], *args: Any) -> Any:
        if self._threads is None:
            return work(*args)
        if _in_thread.get():
            raise BusStateError(
                "a unit of work is under way already and another one inside would wait for it for ever; use its connection"
            )
        outcome = self._threads.apply(contextvars.copy_context().run, (_outcome, work, args))
        if outcome.error is not None:
            raise outcome.error
        return outcome.result

    def create_tables(self, *metadata: MetaData) -> None:
        """Make the tables of `metadata` where they are missing; safe to call from all replicas at a time."""

        def create(connection: Connection) -> None:
            if not self.is_sqlite:  # two that create at a time make one of them fail
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_TABLES_LOCK)))
            for each in metadata:
                each.create_all(connection)

        self.transact(create)

    def close(self) -> None:
        """Close all connections. Idempotent."""
        self._run(self.engine.dispose)
        if self._threads is not None:
            self._threads.kill()
            self._threads = None


def after_commit(connection: Connection, callback: Callable[[], object]) -> None:
    """Call `callback` when the unit of work of `connection` is committed; once, however often it is asked for.

    It may be called in another thread. Of a transaction that `Database.transact` did not open nothing is known: then it is
    never called.
    """
    callbacks = connection.info.setdefault(_AFTER_COMMIT, [])
    if callback not in callbacks:
        callbacks.append(callback)


def insert_once(connection: Connection, table: sa.Table, rows: list[dict[str, Any]]) -> int:
    """Insert the rows that are not there yet; return how many that were."""
    if not rows:
        return 0
    insert: Any = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    # rows as parameters and not in the statement: only so SQLAlchemy compiles it once and for all
    done = insert(table).on_conflict_do_nothing().returning(*table.primary_key)
    return len(connection.execute(done, rows[0] if len(rows) == 1 else rows).all())


def skip_locked(query: sa.Select[Any]) -> sa.Select[Any]:
    """Let `query` lock its rows and pass over those that others hold; SQLite, with one writer, needs neither."""
    return query.with_for_update(skip_locked=True)


class _Outcome:
    """What came of a call in a thread."""

    error: BaseException | None = None
    result: Any = None


def _outcome(work: Callable[..., Any], args: tuple[Any, ...]) -> _Outcome:
    _in_thread.set(True)
    outcome = _Outcome()
    try:
        outcome.result = work(*args)
    except BaseException as error:  # raised where the result is taken; a thread's own report would print it as well
        outcome.error = error
    return outcome


def _is_cooperative() -> bool:
    if not monkey.is_module_patched("select"):
        return False
    import psycopg.waiting

    if getattr(psycopg.waiting.wait, "__name__", "") != "wait_c":
        return True
    log.warning("psycopg was imported before gevent patched the process; PostgreSQL works in threads. Patch first thing.")
    return False


def _sqlite(url: sa.URL, lock_timeout: float, synchronous: str) -> sa.Engine:
    if synchronous not in ("FULL", "NORMAL", "OFF"):
        raise ConfigurationError(f"Database(synchronous={synchronous!r}): give FULL, NORMAL or OFF")
    arguments: dict[str, Any] = {"timeout": lock_timeout, "check_same_thread": False}
    in_memory = url.database in (None, "", ":memory:")
    engine = sa.create_engine(url, connect_args=arguments, **({"poolclass": sa.StaticPool} if in_memory else {}))

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver's guess
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # a transaction that reads first and writes later can fail on another writer; one that locks first waits
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(_READS) else "BEGIN IMMEDIATE")

    return engine
