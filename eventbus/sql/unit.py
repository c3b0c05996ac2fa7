"""Unit: keeps the transaction of a handler with an inbox whole.

Claim and effect are one transaction, and only the inbox may end it. A handler that commits would keep the claim with half an
effect: the next delivery finds the claim, and the other half is lost. So while a handler runs, commit and rollback are
    refused on its connection, said as a method or as a statement; what slips through below SQLAlchemy is noticed
    afterwards.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, event

from eventbus.context import in_inbox
from eventbus.errors import BusStateError

_UNIT = "eventbus_unit"
_ENDS = re.compile(
    r"\s*(commit|end|abort|rollback(?!\s+((work|transaction)\s+)?to\b)|begin|start\s+transaction|prepare\s+transaction)\b",
    re.IGNORECASE,
)
_REFUSED = (
    "{verb} in a handler with an inbox: the inbox commits when the handler returns, and takes all back when it raises; use "
    "context.connection without ending its transaction, or connection.begin_nested() for a part that may fail"
)


class UnitEndedError(BusStateError):
    """Raised when a handler ended the inbox's transaction in a way that could only be noticed afterwards."""


def watch_units(engine: sa.Engine) -> None:
    """Refuse to end a unit of `engine` from within."""

    @event.listens_for(engine, "commit")
    def commit(connection: Connection) -> None:
        _refuse(connection, "commit()")

    @event.listens_for(engine, "rollback")
    def rollback(connection: Connection) -> None:
        _refuse(connection, "rollback()")

    @event.listens_for(engine, "before_cursor_execute")
    def execute(connection: Connection, _cursor: Any, statement: str, *_: object) -> None:
        if _ENDS.match(statement) is not None:
            _refuse(connection, statement.strip()[:20])


def _refuse(connection: Connection, verb: str) -> None:
    if not connection.invalidated and not connection.closed and connection.info.get(_UNIT):
        raise BusStateError(_REFUSED.format(verb=verb))


@contextmanager
def whole(connection: Connection) -> Iterator[None]:
    """Keep the transaction of `connection` whole while the block runs, and let the bus refuse what it would not take back.

    Raises:
        UnitEndedError: the transaction was ended all the same.
    """
    info = connection.info
    transaction = connection.get_transaction()
    raw = connection.connection.dbapi_connection
    info[_UNIT] = True
    token = in_inbox.set(True)
    try:
        yield
    except BaseException as error:
        if _has_ended(raw):
            raise UnitEndedError(_REFUSED.format(verb="the transaction was ended")) from error
        raise
    finally:
        in_inbox.reset(token)
        del info[_UNIT]
    if _has_ended(raw):
        raise UnitEndedError(_REFUSED.format(verb="the transaction was ended"))
    if transaction is None or not transaction.is_active or _has_failed(raw):
        raise BusStateError(_REFUSED.format(verb="a statement failed, which takes all back, and the handler went on"))


def _has_ended(raw: Any) -> bool:
    if isinstance(raw, sqlite3.Connection):
        return not raw.in_transaction
    return bool(raw.pgconn.transaction_status == 0)  # idle; a lost connection has no state


def _has_failed(raw: Any) -> bool:
    return not isinstance(raw, sqlite3.Connection) and bool(raw.pgconn.transaction_status == 3)
