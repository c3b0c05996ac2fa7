"""Listening on PostgreSQL: a connection of its own hears of what other processes committed.

It is read when its socket has something, in whatever way psycopg waits. While it is away, the tables are asked instead.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import gevent
from gevent import get_hub

from eventbus.engines.sql.postgresql_database import CHANNEL, PostgresDatabase
from eventbus.runtime.forks import cut_off
from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.sql_engine")

_SAFETY, _POLL, _PAUSE = 2.0, 0.1, 1.0
"""Seconds between two looks in any case, and while nothing is heard; and until it is tried again to listen."""
_parents: list[Any] = []


class Listener:
    """Calls back when another process notified.

    Args:
        call: runs a function that blocks as psycopg does.
        poll: seconds between two calls in any case; None for what suits.
    """

    def __init__(
        self, database: PostgresDatabase, call: Callable[..., Any], on_change: Callable[[], None], *, poll: float | None
    ) -> None:
        self._database = database
        self._call = call
        self._on_change = on_change
        self._poll = poll
        self.own = ""
        self._connection: Any = None
        self._watcher: Any = None
        self._timer: Any = None
        self._greenlet: gevent.Greenlet[..., Any] | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Listen from now on; a second call has no effect."""
        if self._greenlet is None and self._connection is None:
            self._greenlet = gevent.spawn(self._connect)

    def _connect(self) -> None:
        while not self._is_stopped:
            self._ask_every(self._poll or _POLL)
            try:
                connection = self._call(self._listening)
            except Exception as error:
                if self._is_stopped:
                    return
                log.warning(
                    "%s: nothing is heard of other processes, so the tables are asked: %s", self._database.name, error
                )
                gevent.sleep(_PAUSE)
                continue
            self._connection = connection
            if self._is_stopped:  # while it connected, which nothing interrupts: its connection would be left open
                self._lose()
                return
            self._watcher = get_hub().loop.io(connection.fileno(), 1)
            self._watcher.start(self._read)
            self._ask_every(self._poll or _SAFETY)
            self._on_change()  # for what was committed before
            self._greenlet = None
            return

    def _listening(self) -> Any:
        connection = self._database.connect()
        try:
            connection.execute(f"LISTEN {CHANNEL}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _ask_every(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
        self._timer = get_hub().loop.timer(seconds, repeat=seconds)
        self._timer.start(self._on_change)

    def _read(self) -> None:
        try:
            self._connection.pgconn.consume_input()
            is_new = False
            while (heard := self._connection.pgconn.notifies()) is not None:
                is_new |= heard.extra.decode() != self.own
        except Exception:
            self._lose()
            self.start()
            return
        if is_new:
            self._on_change()

    def _lose(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def stop(self) -> None:
        """Close the connection; one that is being made is closed when it is there."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None
        self._lose()

    def abandon(self) -> None:
        """In a forked child: the server must hear nothing of it."""
        if self._connection is not None:
            _parents.append(self._connection)
            with contextlib.suppress(Exception):
                cut_off(self._connection.fileno())
            self._connection = None
        if self._greenlet is not None:
            self._greenlet.kill(block=False)
        self.stop()
