"""A shop in which bugs are planted: its events, its tables and what the world outside sees of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from eventbus import Event
from eventbus.sql import Database

metadata = sa.MetaData()
shipments = sa.Table("shipments", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("order_id", sa.Text))
done = sa.Table("done", metadata, sa.Column("event_id", sa.Text, primary_key=True))


class Placed(Event, topic="placed", version=2):
    order_id: str
    express: bool = False


class PlacedSeen(Event, topic="placed", name="Placed"):
    """View that takes anything."""

    order_id: str
    express: bool | None = None


class Cancelled(Event, topic="cancelled", version=1):
    order_id: str


class Shipped(Event, topic="shipped", version=1):
    order_id: str


A1, A2, NO_A1 = Placed(order_id="A1"), Placed(order_id="A2"), Cancelled(order_id="A1")


@dataclass
class Shop:
    """What the world outside would see."""

    services: list[Any] = field(default_factory=list)
    shipped: list[str] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    left: int = 1
    database: Database | None = None

    def ships_once(self) -> None:
        for order in self.shipped:
            assert self.shipped.count(order) == 1, f"shipped twice: {order}"

    def mails_once(self) -> None:
        for order in self.mails:
            assert self.mails.count(order) == 1, f"two mails: {order}"

    def sells_what_is_there(self) -> None:
        assert self.left >= 0, f"oversold: {self.left}"

    def ships_nothing(self) -> None:
        assert not self.shipped, f"shipped though cancelled: {self.shipped[0]}"

    def ships_all(self, *orders: str) -> None:
        for order in orders:
            assert order in self.shipped, f"not shipped: {order}"

    def rows(self) -> list[str]:
        assert self.database is not None
        with self.database.engine.connect() as connection:
            return list(connection.scalars(sa.select(shipments.c.order_id)))


def insert(connection: sa.Connection, order_id: str) -> None:
    connection.execute(sa.insert(shipments).values(order_id=order_id))
