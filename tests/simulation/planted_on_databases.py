"""Planted bugs of handlers with a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from eventbus import Context, Service
from eventbus.sql import Database, Inbox, SqlContext
from eventbus.testing import fresh_database
from tests.simulation.shop import Placed, Shipped, Shop, done, insert, metadata


class Publishing:
    """The bus of a service, for a handler that publishes by itself."""

    def __init__(self, service: Service) -> None:
        service.attach(self)

    def start(self, bus: Any) -> None:
        self.publish = bus.publish

    def stop_intake(self) -> None:
        """Nothing comes in here."""

    def stop(self, timeout: float) -> None:
        """Nothing goes on here."""

    def is_idle(self) -> bool:
        return True


@contextmanager
def with_database(fill: Callable[[Shop, Database], None]) -> Iterator[Shop]:
    with fresh_database(metadata) as database:
        shop = Shop(database=database)
        fill(shop, database)
        yield shop


def effect_outside_the_transaction() -> Any:
    def fill(shop: Shop, database: Database) -> None:
        service = Service("fulfillment")

        @service.on(Placed, inbox=Inbox(database))
        def ship(event: Placed, context: SqlContext) -> None:
            insert(context.connection, event.order_id)
            shop.shipped.append(event.order_id)  # a call to a warehouse, say

        shop.services.append(service)

    return with_database(fill)


def mail_before_commit() -> Any:
    def fill(shop: Shop, database: Database) -> None:
        service = Service("mail")

        @service.on(Placed)
        def mail(event: Placed, context: Context) -> None:
            def is_new(connection: sa.Connection) -> bool:
                return connection.scalar(sa.select(done).where(done.c.event_id == context.event_id)) is None

            if database.read(is_new):
                shop.mails.append(event.order_id)
                database.transact(lambda each: each.execute(sa.insert(done).values(event_id=context.event_id)))

        shop.services.append(service)

    return with_database(fill)


def inbox_without_its_channel() -> Any:
    def fill(shop: Shop, database: Database) -> None:
        def claims(connection: sa.Connection, event_id: str) -> bool:
            if connection.scalar(sa.select(done).where(done.c.event_id == event_id)) is not None:
                return False
            connection.execute(sa.insert(done).values(event_id=event_id))
            return True

        for name in ("fulfillment", "audit"):
            service = Service(name)

            @service.on(Placed)
            def note(event: Placed, context: Context) -> None:
                def work(connection: sa.Connection) -> None:
                    if claims(connection, context.event_id):
                        insert(connection, f"{event.order_id} by {context.service}")

                database.transact(work)

            shop.services.append(service)

    return with_database(fill)


def publish_before_commit() -> Any:
    def fill(shop: Shop, database: Database) -> None:
        service = Service("fulfillment")
        bus = Publishing(service)

        @service.on(Placed)
        def ship(event: Placed) -> None:
            if event.order_id not in shop.rows():
                bus.publish(Shipped(order_id=event.order_id))
                database.transact(lambda connection: insert(connection, event.order_id))

        shop.services.append(service)

    return with_database(fill)
