"""Notifications: a relay hears at once of what programs in other processes added, by PostgreSQL's LISTEN.

A poll finds the same rows a little later, so nothing depends on it: where it cannot be had, as behind pgbouncer in
transaction mode or on SQLite, the relay polls.
"""

from __future__ import annotations

from collections.abc import Callable
from time import sleep

import gevent
from gevent.threadpool import ThreadPool

from eventbus.runtime.guarded_log import guarded_log
from eventbus.sql.adding import NOTIFIED
from eventbus.sql.database import Database, is_cooperative

log = guarded_log("eventbus.sql")

_LOOK = 0.5
"""Seconds between two looks whether to stop."""
_LONGEST_PAUSE = 15.0


class Notifications:
    """Calls `wake` whenever an event was added and committed, over a connection of its own.

    It waits in a greenlet where psycopg works with gevent, and in a thread where it does not.

    Args:
        wake: may be called from any thread.
    """

    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        self._database = database
        self._wake = wake
        self._is_stopping = False
        self._greenlet: gevent.Greenlet[[], None] | None = None
        self._threads: ThreadPool | None = None
        if database.is_sqlite:
            return
        if is_cooperative():
            self._greenlet = gevent.spawn(self._run)
        else:
            self._threads = ThreadPool(1)
            self._threads.spawn(self._run)

    def _run(self) -> None:
        failures = 0
        while not self._is_stopping:
            try:
                self._listen()
                failures = 0
            except Exception as error:  # the relay polls meanwhile
                if self._is_stopping:
                    return
                failures += 1
                if failures & (failures - 1) == 0:
                    text = f"{type(error).__name__}: {error}".split("\n", 1)[0]
                    log.warning("%r cannot tell of new events, so they are polled for: %s", self._database, text)
                self._pause(min(0.5 * 2.0 ** min(failures, 8), _LONGEST_PAUSE))

    def _listen(self) -> None:
        with self._database.engine.connect() as pooled:
            connection = pooled.execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()  # it listens for as long as it lives, and nobody else must get it
            connection.exec_driver_sql(f"LISTEN {NOTIFIED}")
            self._wake()  # for what was committed before
            driver = connection.connection.dbapi_connection  # not driver_connection: of a detached one that is None
            assert driver is not None
            while not self._is_stopping:
                for _ in driver.notifies(timeout=_LOOK, stop_after=1):
                    self._wake()

    def _pause(self, seconds: float) -> None:
        while seconds > 0 and not self._is_stopping:
            sleep(min(_LOOK, seconds))
            seconds -= _LOOK

    def stop(self) -> None:
        """End, and close the connection; a thread does so within a second."""
        self._is_stopping = True
        if self._greenlet is not None:
            self._greenlet.kill()
        if self._threads is not None:
            self._threads.join()
            self._threads.kill()
            self._threads = None

    def abandon(self) -> None:
        """In a forked child: leave connection and thread to the parent."""
        self._is_stopping = True
        if self._greenlet is not None:
            self._greenlet.kill(block=False)
        self._greenlet = self._threads = None
