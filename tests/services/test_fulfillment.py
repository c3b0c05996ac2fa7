"""The fulfillment service: ships once, never more than there is."""

from __future__ import annotations

from uuid import uuid4

from eventbus.testing import Harness
from services.fulfillment import app
from services.fulfillment.events import OrderLine, OrderPlaced, OrderRejected, OrderShipped
from services.fulfillment.store import Warehouse


def order(*quantities: int) -> OrderPlaced:
    return OrderPlaced(order_id=uuid4(), lines=tuple(OrderLine(sku="SKU-1", quantity=quantity) for quantity in quantities))


def test_an_order_in_stock_is_shipped_and_one_out_of_stock_rejected() -> None:
    warehouse = Warehouse({"SKU-1": 3})
    with Harness(app.build(warehouse)) as harness:
        first, second = order(2), order(1, 1)
        harness.publish(first)
        harness.settle()
        harness.publish(second)
        harness.settle()
        assert [event.order_id for event in harness.published(OrderShipped)] == [first.order_id]
        assert [event.order_id for event in harness.published(OrderRejected)] == [second.order_id]
        assert harness.published(OrderRejected)[0].reason == "out of stock: SKU-1"
    assert warehouse.stock["SKU-1"] == 1


def test_an_order_delivered_twice_is_shipped_once() -> None:
    warehouse = Warehouse({"SKU-1": 10})
    with Harness(app.build(warehouse), app.build(warehouse)) as harness:
        harness.duplicate_next(5)
        for _ in range(5):
            harness.publish(order(1))
        harness.settle()
        assert len({event.tracking_number for event in harness.published(OrderShipped)}) == 5
    assert len(warehouse.shipments) == 5
    assert warehouse.stock["SKU-1"] == 5


def test_many_orders_never_oversell() -> None:
    warehouse = Warehouse({"SKU-1": 50})
    with Harness(app.build(warehouse), app.build(warehouse)) as harness:
        with harness.reordering():
            for _ in range(100):
                harness.publish(order(1))
        harness.settle()
        assert len(harness.published(OrderShipped)) == len(harness.published(OrderRejected)) == 50
    assert warehouse.stock["SKU-1"] == 0
