"""SQLite: one file, one writer at a time, and short transactions that run where they are asked for.

Statements take microseconds, and a thread for them would cost more than they do: each one gives the interpreter's lock away
and waits for it again. Only what waits for a disk may take long: where a commit was found to take more than a moment, the
next ones are given to a thread, and so is the copying of the write-ahead log into the file.

The lock is waited for in this greenlet, never by SQLite, which would hold the thread. A file that vanished is noticed before
each transaction: what was written to it would vanish with this process.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from typing import Any, TypeVar

import gevent
from gevent import get_hub

from eventbus.engines.sql.session import Trouble, in_thread
from eventbus.engines.sql.sqlite_file import CHECKPOINT, SqliteFile, SqliteSession
from eventbus.engines.sql.waking import FileWatch

T = TypeVar("T")

_SLOW = 0.002
"""Seconds that a commit may hold the hub."""
_COPY_PAUSE = 0.05
_LOOK = 16
"""Commits between two looks at the size of the write-ahead log."""
_QUIET = 2.0
"""Longest time in seconds that a fork waits for the disk."""
_parents: list[Any] = []
"""Connections of the process that this one was forked from: never closed here, since that would let go of its locks."""


class SqliteBackend:
    """One file, as this process has it open.

    Args:
        path: of the file; made at the first transaction, for its owner alone.
        synchronous: "full" or "normal".
        poll: seconds between two looks for what others wrote; None for what suits.

    Raises:
        ConfigurationError: no file of ours can be there; says why.
    """

    is_shared = False

    def __init__(self, path: str, *, synchronous: str = "full", poll: float | None = None) -> None:
        self._file = SqliteFile(path)
        self.name = self._file.name
        self._is_full = synchronous == "full"
        self._connection: sqlite3.Connection | None = None
        self._is_durable: bool | None = None
        self._commit_takes = 0.0
        self._is_copying = False
        self._may_copy = True
        self._commits = 0
        self._version = -1
        self._in_thread = False
        self._watch: FileWatch | None = None
        self._poll = poll
        if self._file.is_there:
            self.connection()

    # -- opening ------------------------------------------------------------------------------------------------------

    def connection(self) -> sqlite3.Connection:
        """Return the open connection, with the tables made where the file had none.

        Raises:
            ConfigurationError: the file is not ours, or cannot be used.
            Trouble: another process holds it.
        """
        if self._connection is None:
            self._connection = self._file.open()
            self._is_durable = None
            if self._watch is not None:
                self._watch.start(self._file.path + "-wal")
        return self._connection

    @property
    def is_quick(self) -> bool:
        """Whether a transaction runs through without a wait for a thread, so that nobody is interrupted in it."""
        return self._commit_takes <= _SLOW

    @property
    def path(self) -> str:
        """Of the file."""
        return self._file.path

    def trouble(self, error: sqlite3.Error) -> Trouble:
        """Return what an error of a transaction says."""
        return self._file.trouble(error)

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call back when another process may have written."""
        self._watch = FileWatch(on_change, poll=self._poll)
        if self._connection is not None:
            self._watch.start(self._file.path + "-wal")

    # -- transactions -------------------------------------------------------------------------------------------------

    def transact(
        self, work: Callable[[SqliteSession], T], *, durable: bool, deadline: float, collect: Callable[[], None]
    ) -> T:
        """Return what `work` returns once it is committed; see `Backend`."""
        self.connection()
        self._file.check()
        durable = durable and self._is_full
        try:
            connection = self._begin(durable=durable, deadline=deadline)
        except sqlite3.Error as error:
            raise self._file.trouble(error) from None
        try:
            collect()
            result = work(SqliteSession(connection))
        except BaseException as error:
            self._roll_back(connection)
            if isinstance(error, sqlite3.Error):
                raise self._file.trouble(error) from None
            raise
        self._commit(connection, durable=durable)
        return result

    def read(self, work: Callable[[SqliteSession], T]) -> T:
        """Return what `work` returns, of one state of the file."""
        connection = self.connection()
        try:
            connection.execute("BEGIN")
            try:
                return work(SqliteSession(connection))
            finally:
                self._roll_back(connection)
        except sqlite3.Error as error:
            raise self._file.trouble(error) from None

    def _begin(self, *, durable: bool, deadline: float) -> sqlite3.Connection:
        pause = 0.0002
        while True:
            connection = self.connection()  # a fork may have closed it while this slept
            if durable != self._is_durable:
                connection.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
                self._is_durable = durable
            try:
                connection.execute("BEGIN IMMEDIATE")
                return connection
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                    raise
            gevent.sleep(pause)
            pause = min(pause * 1.5, 0.005)

    def _commit(self, connection: sqlite3.Connection, *, durable: bool) -> None:
        began = time.monotonic()
        try:
            if durable and self._commit_takes > _SLOW:
                self._in_thread = True
                in_thread(get_hub().threadpool, self._commit_there, connection)
            else:
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            is_open = connection.in_transaction
            self._roll_back(connection)
            trouble = self._file.trouble(error)
            # a full disk takes no commit at all, and what is still open was none; any other fault may come after it
            is_known = is_open or trouble.kind in ("full", "busy", "readonly")
            raise trouble if is_known else Trouble("unknown", str(trouble)) from None
        if durable:
            self._commit_takes += (time.monotonic() - began - self._commit_takes) / 8
        self._copy_sometimes()

    def _commit_there(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("COMMIT")
        finally:
            self._in_thread = False

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        with contextlib.suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    # -- what others did ----------------------------------------------------------------------------------------------

    def has_changed(self) -> bool:
        """Whether another process or connection has committed since this was asked last."""
        if self._connection is None:
            return False
        try:
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            return False
        if version == self._version:
            return False
        self._version = version
        return True

    # -- the write-ahead log ------------------------------------------------------------------------------------------

    def _copy_sometimes(self) -> None:
        self._commits += 1
        if not self._may_copy or self._commits % _LOOK:
            return
        try:
            size = os.stat(self._file.path + "-wal").st_size
        except OSError:
            return
        if size < CHECKPOINT:
            return
        self._may_copy = False
        self._is_copying = True
        gevent.spawn(self._copy)

    def _copy(self) -> None:
        """Copy the log into the file in a thread, so that the log begins anew and does not grow."""
        get_hub().threadpool.apply(self._copy_there)
        gevent.sleep(_COPY_PAUSE)
        self._may_copy = True

    def _copy_there(self) -> None:
        try:
            self._file.checkpoint()
        finally:
            self._is_copying = False

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connection; the next transaction opens it again."""
        connection, self._connection = self._connection, None
        if self._watch is not None:
            self._watch.stop()
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def quiesce(self) -> None:
        """Before a fork: what SQLite knows of its locks it knows for the whole process, and a child would take them for its
        own. So nothing is open then, unless a thread is at it for longer than a moment."""
        patience = time.monotonic() + _QUIET
        while (self._in_thread or self._is_copying) and time.monotonic() < patience:
            time.sleep(0.001)
        if not self._in_thread and not (self._connection is not None and self._connection.in_transaction):
            self.close()

    def abandon(self) -> None:
        """In a forked child: leave the connection as it is."""
        if self._watch is not None:
            self._watch.abandon()
        if self._connection is not None:
            _parents.append(self._connection)
            self._connection = None
