"""Databases in a simulation: those that a user makes, on SQLite and on PostgreSQL; deaths roll back, effects come once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from eventbus import Service
from eventbus.sql import Database, Inbox, Outbox, Receipts, SqlContext
from eventbus.sql import metadata as bus_tables
from eventbus.testing import SimulationFailedError, fresh_database, simulate
from eventbus.testing.simulation.checks import all_settled, nothing_lost, nothing_parked, outbox_and_inbox_agree
from tests.simulation.shop import A1, Placed, Shipped, Shop, insert, metadata


def fill(shop: Shop, database: Database) -> None:
    """A service with inbox and outbox, and one that hears of it."""
    service = Service("fulfillment")
    outbox = Outbox(database, source="fulfillment", receipts=Receipts(timeout=30.0))
    outbox.expect("shipped", ["audit"])

    @service.on(Placed, inbox=Inbox(database, outbox=outbox))
    def ship(event: Placed, context: SqlContext) -> Shipped:
        insert(context.connection, event.order_id)
        return Shipped(order_id=event.order_id)

    audit = Service("audit")

    @audit.on(Shipped, inbox=Inbox(database))
    def note(event: Shipped, context: SqlContext) -> None:
        insert(context.connection, f"noted {event.order_id}")

    shop.services += [service, audit]


def each_once(shop: Shop) -> None:
    assert sorted(shop.rows()) == ["A1", "noted A1"], f"rows: {shop.rows()}"


CHECKS = [each_once, nothing_lost, nothing_parked, all_settled, outbox_and_inbox_agree]


def test_a_database_of_the_users_own_on_either_kind(new_url: Callable[[], str]) -> None:
    url = new_url()
    with Database(url) as first:
        first.create_tables(bus_tables, metadata)

    @contextmanager
    def build() -> Iterator[Shop]:
        with Database(url) as database:
            every = [*bus_tables.sorted_tables, *metadata.sorted_tables]
            gone = [each.delete() for each in every if each.name != "eventbus_schema"]
            database.transact(lambda connection: [connection.execute(each) for each in gone])
            shop = Shop(database=database)
            fill(shop, database)
            yield shop

    tried = simulate(build, [A1], CHECKS, faults=1, seconds=240)
    assert tried.is_complete
    assert tried.schedules[1] >= 14


def test_a_database_in_memory() -> None:
    @contextmanager
    def build() -> Iterator[Shop]:
        with Database("sqlite://") as database:
            database.create_tables(bus_tables, metadata)
            shop = Shop(database=database)
            fill(shop, database)
            yield shop

    assert simulate(build, [A1], CHECKS, faults=1, seconds=120).is_complete


def test_two_faults_on_copies_of_one_file() -> None:
    @contextmanager
    def build() -> Iterator[Shop]:
        with fresh_database(metadata) as database:
            assert not database.read(lambda connection: connection.scalar(sa.text("SELECT count(*) FROM shipments")))
            shop = Shop(database=database)
            fill(shop, database)
            yield shop

    tried = simulate(build, [A1], CHECKS, faults=2, seconds=20)
    assert tried.schedules[2] > 10


def test_an_effect_that_goes_on_after_the_claim_disagrees() -> None:
    @contextmanager
    def build() -> Iterator[Shop]:
        with fresh_database(metadata) as database:
            shop = Shop(database=database)
            fill(shop, database)

            def forget_claims(event: Shipped) -> None:
                database.transact(lambda connection: connection.execute(sa.text("DELETE FROM eventbus_inbox")))

            cleaner = Service("cleaner")
            cleaner.on(Shipped, concurrency=1)(forget_claims)
            shop.services.append(cleaner)
            yield shop

    with pytest.raises(SimulationFailedError, match="disagree"):
        simulate(build, [A1], outbox_and_inbox_agree, faults=1, seconds=60)
