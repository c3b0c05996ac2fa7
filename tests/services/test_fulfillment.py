"""The fulfillment service: ships once, never more than there is."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from eventbus.sql import Database
from eventbus.testing import Harness
from services.fulfillment.app import FulfillmentApp, build
from services.fulfillment.events import OrderLine, OrderPlaced, OrderRejected, OrderShipped
from services.fulfillment.settings import FulfillmentSettings
from services.fulfillment.tables import metadata, reservations, shipments, stock
from services.fulfillment.warehouse import Warehouse
from tests.conftest import sqlite_alone
from tests.waiting import PATIENCE

MakeWarehouse = Callable[..., FulfillmentApp]


def order(*quantities: int, sku: str = "SKU-1", order_id: UUID | None = None) -> OrderPlaced:
    return OrderPlaced(
        order_id=order_id or uuid4(), lines=tuple(OrderLine(sku=sku, quantity=quantity) for quantity in quantities)
    )


def left(database: Database, sku: str = "SKU-1") -> int:
    return int(database.transact(lambda c: c.scalar(sa.select(stock.c.quantity).where(stock.c.sku == sku))))


def rows(database: Database, table: sa.Table) -> int:
    return int(database.transact(lambda c: c.scalar(sa.select(sa.func.count()).select_from(table))))


def test_an_order_in_stock_is_shipped_and_one_out_of_stock_rejected(make_warehouse: MakeWarehouse, harness: Harness) -> None:
    app = make_warehouse(SKU_1=3, SKU_2=5)
    first, second, third = order(2), order(1, 1), order(1, sku="SKU-9")
    for each in (first, second, third):
        harness.publish(each)
        harness.settle()
    assert [event.order_id for event in harness.published(OrderShipped)] == [first.order_id]
    reasons = {event.order_id: event.reason for event in harness.published(OrderRejected)}
    assert reasons == {second.order_id: "out of stock: SKU-1", third.order_id: "unknown article: SKU-9"}
    assert left(app.warehouse.database) == 1
    assert rows(app.warehouse.database, reservations) == 1, "a rejected order reserves nothing"


def test_a_rejected_order_takes_nothing_of_what_was_there(make_warehouse: MakeWarehouse, harness: Harness) -> None:
    app = make_warehouse(SKU_1=10, SKU_2=0)
    lines = (OrderLine(sku="SKU-1", quantity=4), OrderLine(sku="SKU-2", quantity=1))
    harness.publish(OrderPlaced(order_id=uuid4(), lines=lines))
    harness.settle()
    assert len(harness.published(OrderRejected)) == 1
    assert left(app.warehouse.database) == 10


def test_an_order_ships_once_also_when_two_events_announce_it(make_warehouse: MakeWarehouse, harness: Harness) -> None:
    app = make_warehouse(SKU_1=10)
    harness.start(app.service.replica("fulfillment-2"))
    order_id = uuid4()
    harness.duplicate_next(3)
    for _ in range(3):
        harness.publish(order(1, order_id=order_id))
    harness.settle()
    numbers = {event.tracking_number for event in harness.published(OrderShipped)}
    assert len(numbers) == 1
    assert rows(app.warehouse.database, shipments) == 1
    assert left(app.warehouse.database) == 9


def test_many_orders_never_oversell(make_warehouse: MakeWarehouse, harness: Harness) -> None:
    app = make_warehouse(SKU_1=50)
    harness.start(app.service.replica("fulfillment-2"))
    for _ in range(100):
        harness.publish(order(1))
    harness.settle()
    assert len(harness.published(OrderShipped)) == len(harness.published(OrderRejected)) == 50
    assert left(app.warehouse.database) == 0


def test_processes_that_sell_at_a_time_never_oversell(new_url: Callable[[], str]) -> None:
    url = new_url()
    databases = [Database(url, pool_size=2, lock_timeout=PATIENCE) for _ in range(4)]
    databases[0].create_tables(metadata)
    warehouses = [Warehouse(database) for database in databases]
    for warehouse in warehouses:
        warehouse.fill({"SKU-1": 60, "SKU-2": 60})

    def sell(warehouse: Warehouse) -> int:
        sold = 0
        for number in range(40):
            skus = ("SKU-1", "SKU-2") if number % 2 else ("SKU-2", "SKU-1")
            lines = [OrderLine(sku=sku, quantity=1) for sku in skus]
            with warehouse.database.engine.begin() as connection:
                sold += warehouse.fulfil(connection, uuid4(), lines).tracking_number is not None
        return sold

    with ThreadPoolExecutor(4) as pool:
        sold = sum(pool.map(sell, warehouses))
    assert sold == 60
    assert left(databases[0]) == left(databases[0], "SKU-2") == 0
    with pytest.raises(sa.exc.IntegrityError):
        databases[0].transact(lambda c: c.execute(sa.update(stock).values(quantity=-1)))
    for database in databases:
        database.close()


def test_a_warehouse_is_filled_once(make_warehouse: MakeWarehouse) -> None:
    app = make_warehouse(SKU_1=3)
    app.warehouse.fill({"SKU-1": 100})
    assert left(app.warehouse.database) == 3


@pytest.mark.parametrize(
    "line",
    [
        {"sku": "SKU-1", "quantity": -5},
        {"sku": "SKU-1", "quantity": 0},
        {"sku": "SKU-1", "quantity": 10_001},
        {"sku": "SKU-1", "quantity": 10**30},
        {"sku": "", "quantity": 1},
        {"sku": "x" * 65, "quantity": 1},
    ],
)
@sqlite_alone
def test_what_the_contract_does_not_allow_changes_no_stock(
    make_warehouse: MakeWarehouse, harness: Harness, line: dict[str, object]
) -> None:
    app = make_warehouse(SKU_1=10)
    forged = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "a-stranger",
        "type": "OrderPlaced",
        "data": {"order_id": str(uuid4()), "lines": [line]},
    }
    harness.engine.publish("orders_placed", json.dumps(forged).encode(), delay=0.0, timeout=5.0)
    harness.settle()
    assert len(harness.dead_letters("fulfillment")) == 1, "at once, not after eight attempts"
    assert left(app.warehouse.database) == 10
    assert rows(app.warehouse.database, shipments) == 0


def test_what_a_database_cannot_hold_is_rejected_at_once(make_warehouse: MakeWarehouse, harness: Harness) -> None:
    app = make_warehouse(SKU_1=10)
    with harness.expecting(sa.exc.DataError):
        harness.publish(order(1, sku="SKU\x00"))
        harness.settle()
    if app.warehouse.database.is_sqlite:  # it holds this
        assert [type(event) for event in harness.published(OrderRejected)] == [OrderRejected]
    else:
        (letter,) = harness.dead_letters("fulfillment")
        assert "DataError" in letter.reason


def test_a_worker_of_any_name_ships(new_url: Callable[[], str], harness: Harness) -> None:
    settings = FulfillmentSettings(database_url=SecretStr(new_url()), stock={"SKU-1": 10})
    app = build(settings, instance="x" * 300 + "/1")
    try:
        harness.start(app.service)
        harness.publish(order(1))
        harness.settle()
        assert len(harness.published(OrderShipped)) == 1
    finally:
        harness.close()
        app.warehouse.database.close()
