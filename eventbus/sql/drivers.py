"""Drivers: engines for SQLite and PostgreSQL as this library needs them, and what their errors mean.

PostgreSQL is met as people run it. Behind a pooler in transaction mode statements cannot stay prepared, and settings of a
session would go to strangers: there the library leaves both alone. A server that was demoted answers writes with 25006: the
pool lets go of all its connections then, so that the next ones find the new primary. A statement whose greenlet was thrown
out is cancelled at the server: it would hold its locks otherwise, the claim of its event among them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, event

from eventbus.errors import ConfigurationError
from eventbus.sql.connections import check_file, is_of_parent

READS = "eventbus_reads"
_OURS = "eventbus_engine"
_CONNECT = {
    # a broken network is noticed in seconds and not in the kernel's minutes
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15000,
}
# read-only since a failover, and the three ways in which a server says that it goes away
_LET_GO = ("25006", "57P01", "57P02", "57P03")
_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
_CANCEL = 5.0  # seconds for a server to take a request to cancel


def parsed_url(url: str | sa.URL) -> tuple[sa.URL, str | None]:
    """Return the URL with the driver that we take, and the schema of PostgreSQL's that it names.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # a ValueError for what should be a port and is none
        raise ConfigurationError(
            "database URL is not readable; write sqlite:///file.db or postgresql://user:password@host/name, and several "
            "hosts as postgresql://user:password@/name?host=one:5432&host=two:5432"
        ) from None
    parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
    schema = parsed.query.get("schema")
    if schema is None:
        return parsed, None
    if not parsed.drivername.startswith("postgresql") or not isinstance(schema, str) or not schema or "\0" in schema:
        raise ConfigurationError("database URL: schema names one schema of PostgreSQL's; other databases have none")
    return parsed.difference_update_query(["schema"]), schema


def check_own(engine: sa.Engine, *, has_arguments: bool) -> None:
    """Return if an engine that somebody made for himself can serve.

    Raises:
        ConfigurationError: it is of another database or driver, or arguments came beside it.
    """
    if has_arguments:
        raise ConfigurationError("Database(engine=..., connect_args=...): give them to create_engine")
    driver = f"{engine.dialect.name}+{engine.dialect.driver}"
    if driver not in ("sqlite+pysqlite", "postgresql+psycopg") or engine.dialect.is_async:
        raise ConfigurationError(f"Database(engine=...): {driver} is not known; make it for sqlite or postgresql+psycopg")


def postgresql_engine(
    url: sa.URL,
    *,
    pool_size: int,
    lock_timeout: float,
    idle_timeout: float,
    connect_args: dict[str, Any],
    schema: str | None = None,
) -> sa.Engine:
    """Return an engine with a pool of its own; durations in seconds.

    Args:
        schema: where tables are looked for first, and made.
    """
    url, threshold = _prepare_threshold(url)
    engine = sa.create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=lock_timeout,
        pool_pre_ping=True,
        connect_args={**_CONNECT, **threshold, **connect_args},
    )
    wanted = {"lock_timeout": lock_timeout, "idle_in_transaction_session_timeout": idle_timeout}

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            if cursor.fetchone()[0] != connection.info.backend_pid:  # a pooler answers for many servers' processes
                connection.prepare_threshold = None
                if schema is not None:
                    raise ConfigurationError(
                        f"database URL: ?schema={schema} is a setting of a session, which a pooler gives to strangers; set "
                        "it for the role instead: ALTER ROLE ... SET search_path = ..."
                    )
            else:
                if schema is not None:
                    quoted = '"' + schema.replace('"', '""') + '"'
                    path = "SELECT set_config('search_path', %s || ', ' || current_setting('search_path'), false)"
                    cursor.execute(path, (quoted,))
                for name, seconds in wanted.items():  # what the role or the database says has its way
                    cursor.execute(
                        "SELECT set_config(name, %s, false) FROM pg_settings WHERE name = %s AND setting = '0'",
                        (str(int(seconds * 1000)), name),
                    )
        connection.commit()

    return engine


def _prepare_threshold(url: sa.URL) -> tuple[sa.URL, dict[str, Any]]:
    """Take psycopg's `prepare_threshold` out of a URL: libpq, which reads the rest, does not know it."""
    text = url.query.get("prepare_threshold")
    if text is None:
        return url, {}
    if not isinstance(text, str) or not (text in ("", "none") or text.isdecimal()):
        raise ConfigurationError("database URL: prepare_threshold is a whole number, or none for no prepared statements")
    value = int(text) if text.isdecimal() else None
    return url.difference_update_query(["prepare_threshold"]), {"prepare_threshold": value}


def sqlite_engine(url: sa.URL, *, lock_timeout: float, synchronous: str, connect_args: dict[str, Any]) -> sa.Engine:
    """Return an engine whose transactions lock first and read later."""
    if synchronous not in ("FULL", "NORMAL", "OFF"):
        raise ConfigurationError(f"Database(synchronous={synchronous!r}): give FULL, NORMAL or OFF")
    arguments: dict[str, Any] = {"timeout": lock_timeout, "check_same_thread": False, **connect_args}
    in_memory = url.database in (None, "", ":memory:")
    engine = sa.create_engine(url, connect_args=arguments, **({"poolclass": sa.StaticPool} if in_memory else {}))

    if not in_memory and not str(url.database).startswith("file:"):

        @event.listens_for(engine, "do_connect")
        def make(_dialect: object, _record: object, _args: object, _arguments: object) -> None:
            check_file(str(url.database))
            _make_private(str(url.database))

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver's guess
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # a transaction that reads first and writes later can fail on another writer; one that locks first waits
        connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(READS) else "BEGIN IMMEDIATE")

    return engine


def _make_private(path: str) -> None:
    """Make the file of a database for its owner alone, whatever the umask says; one that is there keeps its mode. SQLite
    gives the files beside it the same mode."""
    with contextlib.suppress(OSError):  # it is there, or SQLite says what is wrong with the path
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def watch_errors(engine: sa.Engine) -> None:
    """Mark errors of this engine as its own, let go of demoted servers, cancel what was broken off."""

    @event.listens_for(engine, "handle_error")
    def look(context: Any) -> None:
        original = context.original_exception
        if not isinstance(original, Exception):  # thrown into the greenlet: the server does not know that nobody waits
            if context.connection is not None and not context.connection.invalidated:
                cancel(context.connection.connection.dbapi_connection)
            return
        if sqlstate(original) in _LET_GO:
            context.is_disconnect = True
        if context.sqlalchemy_exception is not None:
            setattr(context.sqlalchemy_exception, _OURS, engine)


def cancel(connection: Any) -> None:
    """Break off the statement that a driver's connection is in the middle of, also at the server. Any thread may call it."""
    with contextlib.suppress(Exception):
        if is_of_parent(connection):  # the statement is the parent's too
            return
        if isinstance(connection, sqlite3.Connection):
            connection.interrupt()
        elif not connection.closed and connection.pgconn.transaction_status == 1:  # active
            connection.cancel_safe(timeout=_CANCEL)


# -- what errors mean -----------------------------------------------------------------------------------------------------


def sqlstate(error: BaseException | None) -> str | None:
    """Return PostgreSQL's code of an error, of the driver's or SQLAlchemy's; None where it has none."""
    code = getattr(error, "sqlstate", None) or getattr(getattr(error, "orig", None), "sqlstate", None)
    return code if isinstance(code, str) else None


def is_of(engines: tuple[sa.Engine, ...], error: BaseException) -> bool:
    """Whether one of these engines raised the error."""
    return getattr(error, _OURS, None) in engines


def is_outage(error: BaseException) -> bool:
    """Whether the database was away, busy or full: nothing that another statement could have avoided."""
    if isinstance(error, sa.exc.TimeoutError | sa.exc.InterfaceError):
        return True
    if not isinstance(error, sa.exc.DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    code = sqlstate(error)
    if code is not None:
        # connection, serialization and deadlocks, resources, locks and limits, operator, system; a failover's read-only
        return code[:2] in ("08", "40", "53", "55", "57", "58") or code == "25006"
    if not isinstance(error, sa.exc.OperationalError):
        return False
    # SQLite says "no such table" with the same class as "database is locked"; its code 1 is a mistake in a statement
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_ERROR


def is_conflict(error: BaseException) -> bool:
    """Whether two transactions were in each other's way, so that the same work at once again may pass."""
    return sqlstate(error) in ("40001", "40P01")
