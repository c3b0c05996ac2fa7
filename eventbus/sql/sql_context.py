"""SqlContext: the context of a handler that runs through an inbox, with the connection of its transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from eventbus.context import Context
from eventbus.errors import HandlerResultError
from eventbus.event import Event
from eventbus.sql.outbox import Outbox
from eventbus.sql.unit_session import UnitSessions

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class SqlContext(Context):
    """The context of a handler that runs through an inbox."""

    __slots__ = ("_outbox", "_sessions", "connection")

    _outbox: Outbox | None
    _sessions: UnitSessions
    connection: Connection
    """Its transaction holds the claim; do the handler's work with it. Commit and rollback are the inbox's, and refused
    here."""

    @classmethod
    def of(
        cls, context: Context, connection: Connection, outbox: Outbox | None, sessions: UnitSessions | None = None
    ) -> SqlContext:
        """Return the same context with a connection, and the sessions on it."""
        mine = cls.__new__(cls)
        for base in Context.__slots__:
            setattr(mine, base, getattr(context, base))
        mine.connection = connection
        mine._outbox = outbox
        mine._sessions = UnitSessions(connection) if sessions is None else sessions
        return mine

    @property
    def session(self) -> Session:
        """A SQLAlchemy `Session` in that transaction, for handlers that use the ORM: the same for all events of a batch.
        What it holds is written when the handler has returned. `commit()` is refused; `rollback()` takes back what the
        session did, and no claim."""
        return self._sessions.get()

    def publish(self, event: Event, **options: Any) -> str:
        """Add an event to the inbox's outbox, in this transaction; same options as `Outbox.add`."""
        if self._outbox is None:
            raise HandlerResultError(
                f"{self.service}: publishing in a handler with an inbox needs an outbox; give Inbox(..., outbox=...)"
            )
        if self.captured is not None:
            self.captured.append(event)
            return self.event_id
        return self._outbox.add(self.connection, event, **options)
