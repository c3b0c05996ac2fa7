"""SqlContext: the context of a handler that runs through an inbox, with the connection of its transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from eventbus.context import Context
from eventbus.errors import HandlerResultError
from eventbus.event import Event
from eventbus.sql.outbox import Outbox


class SqlContext(Context):
    """The context of a handler that runs through an inbox."""

    __slots__ = ("_outbox", "connection")

    _outbox: Outbox | None
    connection: Connection
    """Its transaction holds the claim; do the handler's work with it. Commit and rollback are the inbox's, and refused
    here."""

    @classmethod
    def of(cls, context: Context, connection: Connection, outbox: Outbox | None) -> SqlContext:
        """Return the same context with a connection."""
        mine = cls.__new__(cls)
        for base in Context.__slots__:
            setattr(mine, base, getattr(context, base))
        mine.connection = connection
        mine._outbox = outbox
        return mine

    def publish(self, event: Event, **options: Any) -> str:
        """Add an event to the inbox's outbox, in this transaction; same options as `Outbox.add`."""
        if self._outbox is None:
            raise HandlerResultError(
                f"{self.service}: publishing in a handler with an inbox needs an outbox; give Inbox(..., outbox=...)"
            )
        return self._outbox.add(self.connection, event, **options)
