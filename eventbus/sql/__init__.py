"""Outbox and inbox in a service's own SQL database: what makes at-least-once delivery an effect that happens once.

    database = Database("postgresql://orders@localhost/orders")
    outbox = Outbox(database, source="orders")
    inbox = Inbox(database, outbox=outbox)

    def place(connection: Connection) -> None:          # order and announcement, both or neither
        connection.execute(insert(orders).values(...))
        outbox.add(connection, OrderPlaced(...))

    database.transact(place)

    @service.on(OrderShipped, inbox=inbox)              # claim, effect and what is returned, all or nothing
    def note(event: OrderShipped, context: SqlContext) -> None:
        context.connection.execute(update(orders).values(status="shipped"))

SQLite and PostgreSQL. `metadata` holds the tables, for `database.create_tables()` or a migration tool; `metadata_in(schema)`
has them in a schema of PostgreSQL's.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from eventbus.sql.outbox import Outbox
from eventbus.sql.receipts import Receipts
from eventbus.sql.schema import metadata_in, upgrade
from eventbus.sql.tables import metadata

if TYPE_CHECKING:
    from eventbus.sql.backlog import Backlog
    from eventbus.sql.database import Database
    from eventbus.sql.inbox import Inbox
    from eventbus.sql.late_inbox import LateContext, LateInbox
    from eventbus.sql.sql_context import SqlContext

_LATER = {
    "Backlog": "backlog",
    "Database": "database",
    "Inbox": "inbox",
    "LateContext": "late_inbox",
    "LateInbox": "late_inbox",
    "SqlContext": "sql_context",
}
"""What stands on gevent, and the module of each: a program that only adds events loads none of it."""

__all__ = [
    "Backlog",
    "Database",
    "Inbox",
    "LateContext",
    "LateInbox",
    "Outbox",
    "Receipts",
    "SqlContext",
    "metadata",
    "metadata_in",
    "upgrade",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"eventbus.sql.{_LATER[name]}"), name)
    raise AttributeError(f"module 'eventbus.sql' has no attribute {name!r}")
