"""Events and tables of the tests of outbox and inbox."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus import Event
from eventbus.sql import Database

tables = sa.MetaData()
effects = sa.Table("effects", tables, sa.Column("id", sa.Integer, primary_key=True), sa.Column("number", sa.Integer))

COUNT = 20
"""Orders of the services that run as processes (`shop_worker.py`)."""


class Placed(Event, topic="placed"):
    number: int


class Shipped(Event, topic="shipped"):
    number: int


def note(connection: Connection, number: int) -> None:
    """Have an effect."""
    connection.execute(sa.insert(effects).values(number=number))


def effects_in(database: Database) -> list[int]:
    """Return the effects there, sorted."""
    return sorted(database.transact(lambda connection: list(connection.scalars(sa.select(effects.c.number)))))


def rows_of(database: Database, table: sa.Table) -> list[sa.Row[tuple[object, ...]]]:
    return database.transact(lambda connection: list(connection.execute(sa.select(table))))
