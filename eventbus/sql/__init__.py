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

SQLite and PostgreSQL. `metadata` holds the tables, for `database.create_tables()` or a migration tool.
"""

from __future__ import annotations

from eventbus.sql.database import Database
from eventbus.sql.inbox import Inbox
from eventbus.sql.late_inbox import LateContext, LateInbox
from eventbus.sql.outbox import Backlog, Outbox
from eventbus.sql.receipts import Receipts
from eventbus.sql.schema import upgrade
from eventbus.sql.sql_context import SqlContext
from eventbus.sql.tables import metadata

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
    "upgrade",
]
