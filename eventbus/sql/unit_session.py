"""UnitSessions: the ORM session of a handler with an inbox, in the inbox's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection

from eventbus.errors import BusStateError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class UnitSessions:
    """Makes the session of one unit of work when it is first asked for.

    It works in a savepoint: what the ORM takes back when a flush fails is the session's work alone, and the handler sees the
    error of the database.
    """

    __slots__ = ("_connection", "_session")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._session: Session | None = None

    def get(self) -> Session:
        """Return the session."""
        if self._session is None:
            # a service without the ORM loads none of it
            from sqlalchemy import event
            from sqlalchemy.orm import Session

            self._session = Session(self._connection, join_transaction_mode="create_savepoint")
            event.listen(self._session, "before_commit", _refuse)
        return self._session

    def write(self) -> None:
        """Write what the session holds.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database refuses it, or refused it before and the handler went on.
        """
        if self._session is not None:
            from sqlalchemy import event

            event.remove(self._session, "before_commit", _refuse)
            self._session.commit()

    def close(self) -> None:
        """Let go of it."""
        if self._session is not None:
            self._session.close()
            self._session = None


def _refuse(session: Session) -> None:
    if not session.in_nested_transaction():
        raise BusStateError(
            "commit() of context.session in a handler with an inbox: the inbox commits when the handler returns; flush() "
            "writes what the session holds, and begin_nested() is for a part that may fail"
        )
