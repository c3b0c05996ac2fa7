"""Connections: what a fork copies of a database, and how a child lets go of it.

A child must not even close what it got: a server would take its goodbye for the parent's, and SQLite the parent's locks and
write-ahead log for its own. It keeps them, cut off, for as long as it lives.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from gevent import monkey

from eventbus.errors import BusStateError
from eventbus.runtime.forks import cut_off

_QUIET = 2.0
"""Longest time in seconds that a fork waits for a unit of work on SQLite."""
_parents: list[Any] = []
"""What this process got from the one that it was forked from."""
_spoiled: set[str] = set()
"""SQLite's files that a unit of work of the parent held open at the fork."""


class Connections:
    """The driver's connections of one engine, as this process made them."""

    def __init__(self, engine: sa.Engine, *, is_own: bool) -> None:
        self._engine = engine
        self._open: dict[int, Any] = {}
        # those of somebody else's pool may be older than this
        sa.event.listen(engine, "connect" if is_own else "checkout", self._opened)
        for name in ("close", "close_detached"):
            sa.event.listen(engine, name, self._closed)
        self._turn = monkey.get_original("_thread", "allocate_lock")()
        self._is_quiet = False
        self._is_file = engine.dialect.name == "sqlite" and not isinstance(
            engine.pool, sa.StaticPool | sa.pool.SingletonThreadPool
        )

    def _opened(self, connection: Any, *_: object) -> None:
        self._open[id(connection)] = connection

    def _closed(self, connection: Any, *_: object) -> None:
        self._open.pop(id(connection), None)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold off a fork for as long as one of SQLite's connections works."""
        with self._turn:
            yield

    def quiesce(self) -> None:
        """Before a fork: close SQLite's connections. What the library knows of its locks, it knows for the whole process,
        and a child would believe that it holds the parent's."""
        if self._is_file and self._turn.acquire(True, _QUIET):
            self._is_quiet = True
            self._engine.dispose()

    def resume(self) -> None:
        """After the fork, in the parent: they are opened again when they are needed."""
        if self._is_quiet:
            self._is_quiet = False
            self._turn.release()

    def abandon(self) -> None:
        """In a child: cut them off."""
        if self._is_file and not self._is_quiet and self._open:
            _spoiled.add(os.path.realpath(str(self._engine.url.database)))
        for connection in self._open.values():
            _parents.append(connection)
            if not isinstance(connection, sqlite3.Connection):
                with contextlib.suppress(Exception):  # closed already
                    cut_off(connection.fileno())
        self._open = {}
        _parents.append(self._engine.pool)
        self._engine.dispose(close=False)


def check_file(path: str) -> None:
    """Return if this process may open a file of SQLite's.

    Raises:
        BusStateError: the parent had it open at the fork, and this process would take the parent's locks for its own.
    """
    if os.path.realpath(path) in _spoiled:
        raise BusStateError(
            f"sqlite {path}: a unit of work held it at the fork of this process; fork when none is under way, or start "
            "another program"
        )


def is_of_parent(connection: Any) -> bool:
    """Whether a driver's connection was made by the process that this one was forked from."""
    return any(connection is each for each in _parents)
