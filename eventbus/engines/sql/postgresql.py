"""PostgreSQL: several machines share a database that is there already.

psycopg works in the greenlet that asks where it was imported after patching; where it was not, in a thread. A connection of
its own hears of what other processes committed (LISTEN).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from gevent import monkey
from gevent.threadpool import ThreadPool

from eventbus.engines.sql.listening import Listener
from eventbus.engines.sql.postgresql_database import PostgresDatabase, PostgresSession, trouble
from eventbus.engines.sql.session import Session, Trouble, in_thread
from eventbus.runtime.forks import cut_off

T = TypeVar("T")

_LOCK = 2.0
"""Longest wait in seconds for a row that another transaction holds."""
_parents: list[Any] = []
"""What this process got from the one that it was forked from."""


class PostgresBackend:
    """One database, as this process reaches it; see `Backend`.

    Args:
        database: where it is.
        poll: seconds between two looks for what others wrote, in any case; None for what suits.
    """

    is_shared = True
    is_quick = False

    def __init__(self, database: PostgresDatabase, *, poll: float | None = None) -> None:
        self._database = database
        self.name = database.name
        self._connection: Any = None
        self._threads = None if _is_cooperative() else ThreadPool(1)
        self._poll = poll
        self._listener: Listener | None = None
        self._has_changed = True

    def now(self) -> float:
        """Return the server's time in seconds since 1970, as far as it is known."""
        return self._database.now()

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call back when another process may have written."""

        def heard() -> None:
            self._has_changed = True
            on_change()

        self._listener = Listener(self._database, self._call, heard, poll=self._poll)

    def has_changed(self) -> bool:
        """Whether another process may have committed since this was asked last."""
        changed, self._has_changed = self._has_changed, False
        return changed

    def transact(self, work: Callable[[Session], T], *, durable: bool, deadline: float, collect: Callable[[], None]) -> T:
        """Return what `work` returns once it is committed; see `Backend`."""
        connection = self._connected()
        self._call(self._statement, connection, _BEGIN[durable])
        collect()
        # in one call: a hub that is busy with something else must not keep rows locked
        result: T = self._call(self._do_and_commit, connection, work)
        return result

    def read(self, work: Callable[[Session], T]) -> T:
        """Return what `work` returns, of one state of the database."""
        connection = self._connected()
        self._call(self._statement, connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            result: T = self._call(self._do, connection, work)
            return result
        finally:
            self._call(self._roll_back, connection)

    def _call(self, work: Callable[..., T], *arguments: Any) -> T:
        if self._threads is None:
            return work(*arguments)
        return in_thread(self._threads, work, *arguments)

    def _connected(self) -> Any:
        if self._connection is None or self._connection.closed:
            self._connection = self._call(self._database.connect)
            if self._listener is not None:
                self._listener.start()
        return self._connection

    def _statement(self, connection: Any, statement: str) -> None:
        try:
            connection.execute(statement)
        except psycopg.Error as error:
            raise self._failed(connection, error) from None

    def _do(self, connection: Any, work: Callable[[Session], T]) -> T:
        try:
            return work(PostgresSession(connection, self._database.now()))
        except psycopg.Error as error:
            raise self._failed(connection, error) from None
        except BaseException:
            self._roll_back(connection)
            raise

    def _do_and_commit(self, connection: Any, work: Callable[[Session], T]) -> T:
        result = self._do(connection, work)
        self._commit(connection)
        return result

    def _commit(self, connection: Any) -> None:
        try:
            connection.execute("COMMIT")
        except psycopg.Error as error:
            found = self._failed(connection, error)
            raise Trouble("unknown", str(found)) if found.kind in ("away", "broken") else found from None
        except BaseException:  # thrown into this greenlet in the middle of it
            self._drop(connection)
            raise

    def _failed(self, connection: Any, error: psycopg.Error) -> Trouble:
        found = trouble(self.name, error)
        if connection.closed or connection.broken or found.kind == "away":
            self._drop(connection)
        else:
            self._roll_back(connection)
        return found

    def _roll_back(self, connection: Any) -> None:
        try:
            connection.execute("ROLLBACK")
        except BaseException:
            self._drop(connection)

    def _drop(self, connection: Any) -> None:
        with contextlib.suppress(Exception):
            connection.close()
        if self._connection is connection:
            self._connection = None

    def close(self) -> None:
        """Close the connections; the next transaction opens one again."""
        if self._listener is not None:
            self._listener.stop()
        connection, self._connection = self._connection, None
        if connection is not None:
            self._call(connection.close)
        if self._threads is not None:
            self._threads.kill()

    def quiesce(self) -> None:
        """Before a fork: a child can let go of sockets, so nothing is to be done."""

    def abandon(self) -> None:
        """In a forked child: the server must hear nothing of it."""
        if self._listener is not None:
            self._listener.abandon()
        if self._connection is not None:
            _parents.append(self._connection)
            with contextlib.suppress(Exception):
                cut_off(self._connection.fileno())
            self._connection = None
        _parents.append(self._threads)
        self._threads = None


_BEGIN = {
    True: f"BEGIN; SET LOCAL lock_timeout = {int(_LOCK * 1000)}",
    False: f"BEGIN; SET LOCAL lock_timeout = {int(_LOCK * 1000)}; SET LOCAL synchronous_commit = off",
}


def _is_cooperative() -> bool:
    """Whether psycopg waits with gevent, in the greenlet that asks."""
    if not monkey.is_module_patched("select"):
        return False
    import psycopg.waiting

    return getattr(psycopg.waiting.wait, "__name__", "") != "wait_c"
