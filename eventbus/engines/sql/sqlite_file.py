"""A file of SQLite's: whether it is ours, opening it, and making the tables in it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import Any

from eventbus.engines.sql import schema
from eventbus.engines.sql.session import Row, Trouble
from eventbus.errors import ConfigurationError
from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.sql_engine")

APPLICATION = 0x65766273
"""In the head of a file that we made; `file` and others tell by it whose it is."""
CHECKPOINT = 4 * 1024 * 1024
"""Bytes of the write-ahead log after which it is copied into the file."""
_PAGES = 200
_OLDEST = (3, 35, 0)
_WORDS = {
    "key": "INTEGER PRIMARY KEY",
    "bigkey": "INTEGER",
    "real": "REAL",
    "bytes": "BLOB",
    "norowid": " WITHOUT ROWID",
    "fill": "",
}
_REMOTE = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs", "lustre", "beegfs"}


class SqliteSession:
    """One transaction on SQLite."""

    def __init__(self, connection: Any) -> None:
        self._execute = connection.execute
        self._many = connection.executemany
        self.now = time.time()

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        found: list[Row] = self._execute(statement, parameters).fetchall()
        return found

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        count: int = self._execute(statement, parameters).rowcount
        return count

    def many(self, statement: str, parameters: Iterable[Sequence[Any]]) -> None:
        self._many(statement, parameters)

    def run_of_log(self, after: int, last: int, most: int, most_bytes: int) -> list[Row]:
        found: list[Row] = []
        cursor = self._execute(
            "SELECT id, at, due, body FROM eventbus_bus_log WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
            (after, last, most),
        )
        for row in cursor:
            found.append(row)
            most_bytes -= len(row[3])
            if most_bytes <= 0:
                break
        cursor.close()
        return found

    def shrink(self) -> bool:
        for _ in range(_PAGES):  # Python takes but one step of this statement, which is a page
            self._execute("PRAGMA incremental_vacuum(1)").fetchall()
        return bool(self._execute("PRAGMA freelist_count").fetchone()[0])

    def add_to_log(self, rows: Sequence[tuple[int, float, float, bytes]]) -> None:
        self._many("INSERT INTO eventbus_bus_log (id, at, due, body) VALUES (?, ?, ?, ?)", rows)

    def notify(self, sender: str) -> None:
        pass  # the file tells

    def lock_channels(self, channels: Sequence[int]) -> None:
        pass  # a writer is alone


class SqliteFile:
    """A path, and what may be done with it.

    Raises:
        ConfigurationError: no file of ours can be there; says why.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self.name = f"sqlite file {self.path}"
        self._identity: tuple[int, int] | None = None
        if sqlite3.sqlite_version_info < _OLDEST:
            oldest = ".".join(map(str, _OLDEST))
            raise ConfigurationError(f"{self.name}: this Python has SQLite {sqlite3.sqlite_version}; {oldest} is needed")
        folder = os.path.dirname(self.path)
        if os.path.isdir(self.path):
            raise ConfigurationError(f"{self.name}: that is a directory; name a file in it, such as {self.path}/bus.db")
        if not os.path.isdir(folder):
            raise ConfigurationError(f"{self.name}: there is no directory {folder}; make it first")

    @property
    def is_there(self) -> bool:
        """Whether the path leads to something."""
        return os.path.exists(self.path)

    def open(self) -> sqlite3.Connection:
        """Return a connection, with the tables made where the file had none.

        Raises:
            ConfigurationError: the file is not ours, or cannot be used.
            Trouble: another process holds it, or it is another one than before.
        """
        if self._identity is not None:
            self.check()
        connection = self._open()
        if self._identity is None:
            found = os.stat(self.path)
            self._identity = found.st_dev, found.st_ino
            self._warn_of_network()
        return connection

    def check(self) -> None:
        """Return if the file that was opened first is still there.

        Raises:
            Trouble: it was deleted, moved or replaced.
        """
        try:
            found = os.stat(self.path)
        except OSError:
            raise Trouble(
                "gone",
                f"{self.name}: it was deleted or moved under the running bus; put it back. Its events are there as long as "
                "a process has it open, and no new file is made in its place",
            ) from None
        if (found.st_dev, found.st_ino) != self._identity:
            raise Trouble("gone", f"{self.name}: another file lies there now; put the one of this bus back, or restart")

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the file, on a connection of its own. Any thread may call it."""
        with contextlib.suppress(sqlite3.Error, Trouble):
            self.check()
            connection = sqlite3.connect(self.path, timeout=0.0, isolation_level=None)
            try:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            finally:
                connection.close()

    def trouble(self, error: sqlite3.Error) -> Trouble:
        """Return what an error of a transaction says."""
        code = getattr(error, "sqlite_errorcode", 0)
        kinds = {
            sqlite3.SQLITE_BUSY: "busy",
            sqlite3.SQLITE_LOCKED: "busy",
            sqlite3.SQLITE_FULL: "full",
            sqlite3.SQLITE_READONLY: "readonly",
            sqlite3.SQLITE_PERM: "readonly",
            sqlite3.SQLITE_IOERR: "io",
            sqlite3.SQLITE_CANTOPEN: "io",
        }
        return Trouble(kinds.get(code & 0xFF, "broken"), f"{self.name}: {error}")

    def _open(self) -> sqlite3.Connection:
        with contextlib.suppress(OSError):  # it is there, or SQLite says what is wrong; nobody else may read events
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        try:
            connection = sqlite3.connect(self.path, timeout=0.0, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise self._refused(error) from None
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("PRAGMA busy_timeout = 5000")  # for this once: two processes may make the file together
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            owner = connection.execute("PRAGMA application_id").fetchone()[0]
            if owner not in (0, APPLICATION):
                raise ConfigurationError(
                    f"{self.name}: it belongs to another application (its application_id is {owner:#x}); name another file"
                )
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise ConfigurationError(f"{self.name}: no write-ahead log is possible there (it stays {mode})")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute(f"PRAGMA journal_size_limit = {CHECKPOINT // 4}")  # so that its size tells what is new
            self._make_tables(connection)
            connection.execute("PRAGMA busy_timeout = 0")
        except sqlite3.Error as error:
            raise self._refused(error) from None

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        count = "SELECT count(*) FROM sqlite_master WHERE name = 'eventbus_bus_version'"
        if connection.execute(count).fetchone()[0]:
            session = SqliteSession(connection)
            if schema.version_of(session) == schema.VERSION:
                return
        connection.execute("BEGIN IMMEDIATE")
        try:
            session = SqliteSession(connection)
            is_new = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
            if connection.execute(count).fetchone()[0]:
                schema.upgrade(session, self.name, _WORDS)
            else:
                schema.make(session, _WORDS)
            if is_new:
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _refused(self, error: sqlite3.Error) -> Exception:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_NOTADB:
            return ConfigurationError(f"{self.name}: that is no SQLite database; name another file")
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            return ConfigurationError(f"{self.name}: it cannot be opened for writing ({error}); give this user the right to")
        if code == sqlite3.SQLITE_FULL:
            return Trouble("full", f"{self.name}: {error}")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return Trouble("busy", f"{self.name}: another process holds it ({error})")
        return ConfigurationError(f"{self.name}: it cannot be used: {error}")

    def _warn_of_network(self) -> None:
        kind = _file_system(self.path)
        if kind in _REMOTE:
            log.warning(
                "%s lies on %s: locks of a network file system are not to be trusted, and events may be lost there; use a "
                "local disk, or postgresql://",
                self.name,
                kind,
            )


def _file_system(path: str) -> str:
    """Return the type of the file system that a path lies on, as Linux tells it; empty where it does not."""
    best, kind = "", ""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                _, point, found, *_ = line.split(" ")
                point = point.replace("\\040", " ")
                if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
                    best, kind = point, found
    except (OSError, ValueError):
        return ""
    return kind
