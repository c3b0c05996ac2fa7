"""Transactions of callers: what is published in one is there exactly if it commits.

Taken are connections of `sqlite3`, psycopg and SQLAlchemy, and SQLAlchemy's sessions. Nothing is waited for and no greenlet
is switched here, so that a unit of work in a thread may do it too.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from typing import Any

from eventbus.engines.sql.appending import append
from eventbus.engines.sql.sqlite import SqliteBackend
from eventbus.engines.sql.sqlite_file import SqliteSession
from eventbus.errors import BusStateError, ConfigurationError


def append_in(connection: Any, backend: Any, topic: str, messages: Sequence[tuple[float, bytes]]) -> None:
    """Append messages in the transaction of a caller's connection.

    Raises:
        ConfigurationError: it is no connection to the database of the bus.
        BusStateError: it has no transaction open.
        Trouble: the database did not take it.
    """
    driver = _driver(connection)
    if isinstance(backend, SqliteBackend):
        _append_in_sqlite(driver, backend, topic, messages)
    else:
        _append_in_postgresql(driver, backend, topic, messages)


def _driver(connection: Any) -> Any:
    """Return the driver's connection of SQLAlchemy's connection or session, or the connection itself."""
    if hasattr(connection, "get_bind") and callable(getattr(connection, "connection", None)):
        connection = connection.connection()
    if hasattr(connection, "exec_driver_sql"):
        connection.exec_driver_sql("SELECT 1")  # begins the transaction, where it has not begun
        return connection.connection.driver_connection
    return connection


def _not_of(backend: Any, driver: Any) -> ConfigurationError:
    return ConfigurationError(
        f"publish(connection=...): give a connection to the {backend.name}, not {type(driver).__name__}"
    )


def _append_in_sqlite(driver: Any, backend: SqliteBackend, topic: str, messages: Sequence[tuple[float, bytes]]) -> None:
    if not isinstance(driver, sqlite3.Connection):
        raise _not_of(backend, driver)
    files = [row[2] for row in driver.execute("PRAGMA database_list") if row[1] == "main"]
    if not files or not files[0] or os.path.realpath(files[0]) != os.path.realpath(backend.path):
        where = repr(files[0]) if files and files[0] else "memory"
        raise ConfigurationError(f"publish(connection=...): it leads to {where}, and the bus is the {backend.name}")
    if not driver.in_transaction:
        if driver.isolation_level is None:
            raise BusStateError("publish(connection=...): no transaction is open; begin one, so that its commit publishes")
        driver.execute("BEGIN IMMEDIATE")
    cursors = _Plain(driver)
    try:
        append(SqliteSession(cursors), topic, messages)
    except sqlite3.Error as error:
        raise backend.trouble(error) from None


class _Plain:
    """A connection of SQLite's whose rows are tuples, whatever its owner likes."""

    def __init__(self, driver: sqlite3.Connection) -> None:
        self._driver = driver

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Any:
        cursor = self._driver.cursor()
        cursor.row_factory = None
        return cursor.execute(statement, parameters)

    def executemany(self, statement: str, parameters: Any) -> Any:
        return self._driver.cursor().executemany(statement, parameters)


def _append_in_postgresql(driver: Any, backend: Any, topic: str, messages: Sequence[tuple[float, bytes]]) -> None:
    import psycopg
    from psycopg.rows import tuple_row

    from eventbus.engines.sql.postgresql_database import PostgresSession, trouble

    if not isinstance(driver, psycopg.Connection):
        raise _not_of(backend, driver)
    if driver.autocommit and driver.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
        raise BusStateError("publish(connection=...): no transaction is open; begin one, so that its commit publishes")
    session = PostgresSession(driver, backend.now(), row_factory=tuple_row)
    if not session.rows("SELECT to_regclass('eventbus_bus_log') IS NOT NULL")[0][0]:
        raise ConfigurationError(
            f"publish(connection=...): the tables of the bus are not on its search path; the bus is the {backend.name}"
        )
    try:
        append(session, topic, messages)
        session.notify("")
    except psycopg.Error as error:
        raise trouble(backend.name, error) from None
