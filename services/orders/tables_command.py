"""Make the service's tables, as the role that owns them: `python -m services.orders.tables_command`."""

from __future__ import annotations

from eventbus.sql import Database
from eventbus.sql import metadata as bus_tables
from services.orders.settings import OrdersSettings
from services.orders.tables import metadata


def make_tables(settings: OrdersSettings) -> None:
    """Make the tables that are missing; safe to call again, and from many places at a time."""
    with Database(settings.database()) as database:
        database.create_tables(bus_tables, metadata)


if __name__ == "__main__":
    make_tables(OrdersSettings())
