"""Faults of databases for tests: one that is away, one whose commits fail, and a death after a commit.

They need SQLAlchemy, so this module is imported by its own name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, event

from eventbus.runtime.failpoints import FailpointError, set_failpoint
from eventbus.sql.database import Database
from eventbus.sql.drivers import READS


@contextmanager
def database_down(database: Database) -> Iterator[None]:
    """Let every transaction of `database` fail while the block runs, as when the server is away; those of the library's own
    work too."""

    def refuse(_: Connection) -> None:
        raise sa.exc.TimeoutError("the test holds the database down")

    with _listening(database.engines, "begin", refuse):
        yield


@contextmanager
def failing_commits(database: Database, times: int = 1) -> Iterator[None]:
    """Let the next `times` commits of units of work fail in the block, as by a constraint that is looked at late or a server
    that goes away: what they did is rolled back."""
    left = [times]

    def refuse(connection: Connection) -> None:
        if left[0] > 0 and not connection.get_execution_options().get(READS):
            left[0] -= 1
            raise sa.exc.TimeoutError("the test lets the commit fail")

    with _listening([database.engine], "commit", refuse):
        yield


@contextmanager
def dying_after_commit(times: int = 1) -> Iterator[None]:
    """Let the next `times` handlers with an inbox commit in the block and give the broker no answer, as a process that dies
    between the two: the delivery comes again."""
    left = [times]

    def die() -> None:
        if left[0] > 0:
            left[0] -= 1
            raise FailpointError("the test ends the handler after its commit")

    set_failpoint("after_commit_before_finish", die)
    try:
        yield
    finally:
        set_failpoint("after_commit_before_finish", None)


@contextmanager
def _listening(engines: list[sa.Engine], name: str, call: Callable[..., Any]) -> Iterator[None]:
    for each in engines:
        event.listen(each, name, call, insert=True)
    try:
        yield
    finally:
        for each in engines:
            event.remove(each, name, call)
