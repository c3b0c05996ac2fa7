"""Jobs: units of work, in the greenlet that asks for them or in a thread for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.sql.drivers import cancel

T = TypeVar("T")
_Hold: TypeAlias = Callable[[], AbstractContextManager[None]]
_AFTER_COMMIT = "eventbus_after_commit"
in_thread: ContextVar[bool] = ContextVar("eventbus_in_database_thread", default=False)


def transact(work: Callable[[Connection], T], engine: sa.Engine, job: Job) -> T:
    """Return what `work` returns, after its transaction on a connection of `engine` is committed."""
    with engine.connect() as connection:
        connection.info.pop(_AFTER_COMMIT, None)  # of a transaction on this pooled connection that failed
        job.connection = connection.connection.dbapi_connection
        with connection.begin():
            result = work(connection)
        callbacks = connection.info.pop(_AFTER_COMMIT, ())
    for callback in callbacks:
        callback()
    return result


def after_commit(connection: Connection, callback: Callable[[], object]) -> None:
    """Call `callback` when the unit of work of `connection` is committed; once, however often it is asked for.

    It may be called in another thread. Of a transaction that `Database.transact` did not open nothing is known: then it is
    never called.
    """
    callbacks = connection.info.setdefault(_AFTER_COMMIT, [])
    if callback not in callbacks:
        callbacks.append(callback)


class Job:
    """A unit of work, as whoever waits for it sees it."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.result: Any = None
        self.connection: Any = None
        self._is_done = False

    def run(self, work: Callable[[Connection], Any], engine: sa.Engine, hold: _Hold = nullcontext) -> None:
        """Do it in a thread; what it raises is raised where the result is taken."""
        in_thread.set(True)
        try:
            with hold():
                self.result = transact(work, engine, self)
        except BaseException as error:
            self.error = error
        finally:
            self._is_done = True

    def cancel(self) -> None:
        """Break off the statement that it is in the middle of."""
        if not self._is_done and self.connection is not None:
            cancel(self.connection)
