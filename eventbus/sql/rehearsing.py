"""Rehearsing: a handler runs in a transaction that is taken back, to see whether it would succeed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.context import Context
from eventbus.event import Event
from eventbus.sql.database import Database
from eventbus.sql.sql_context import SqlContext
from eventbus.sql.unit import whole
from eventbus.sql.unit_session import UnitSessions

Run = Callable[[Sequence[int], Sequence[Context]], Sequence[Event]]


class GivesContexts(Protocol):
    """What is needed of an inbox."""

    database: Database

    def context_of(self, context: Context, connection: Connection, sessions: UnitSessions) -> SqlContext:
        """Return what its handlers are given."""
        ...


class _TakenBackError(Exception):
    """Ends the transaction."""


def take_back(inbox: GivesContexts, contexts: Sequence[Context], run: Run) -> None:
    """Run a handler with all its effects, and take them back.

    Raises:
        Whatever the handler raised, or the database; constraints that a commit would look at are looked at.
    """

    def work(connection: Connection) -> None:
        sessions = UnitSessions(connection)
        try:
            with whole(connection):
                mine = [inbox.context_of(each, connection, sessions) for each in contexts]
                for event in run(range(len(contexts)), mine):
                    mine[0].publish(event)
                sessions.write()
        finally:
            sessions.close()
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SET CONSTRAINTS ALL IMMEDIATE"))
        raise _TakenBackError

    with suppress(_TakenBackError):
        inbox.database.transact(work)
