"""The orders service: it follows what becomes of an order."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest
from pydantic import ValidationError

from eventbus.testing import Harness
from services.orders import app
from services.orders.events import OrderConfirmed, OrderLine, OrderPlaced, OrderRejected, OrderShipped
from services.orders.store import OrderStore


def order(**changes: object) -> OrderPlaced:
    values: dict[str, object] = {
        "order_id": uuid4(),
        "customer_id": "c-1",
        "email": "ada@example.org",
        "currency": "EUR",
        "placed_at": datetime.now(UTC),
        "total": Decimal("20.00"),
        "lines": (OrderLine(sku="SKU-1", quantity=2, price=Decimal("10.00")),),
    }
    return OrderPlaced(**{**values, **changes})  # type: ignore[arg-type]


def test_an_order_is_followed_to_its_end() -> None:
    store = OrderStore()
    one, two = order(), order()
    for placed in (one, two):
        store.add(placed)
    with Harness(app.build(store)) as harness:
        harness.publish(OrderShipped(order_id=one.order_id, tracking_number="T1"))
        harness.publish(OrderRejected(order_id=two.order_id, reason="out of stock"))
        harness.publish(OrderConfirmed(order_id=two.order_id))
        harness.settle()
    shipped, rejected = store.get(one.order_id), store.get(two.order_id)
    assert shipped is not None
    assert rejected is not None
    assert (shipped.status, shipped.tracking_number, shipped.is_confirmed) == ("shipped", "T1", False)
    assert (rejected.status, rejected.reason, rejected.is_confirmed) == ("rejected", "out of stock", True)


def test_news_that_overtakes_its_order_waits_for_it() -> None:
    store, placed = OrderStore(), order()
    with Harness(app.build(store)) as harness:
        harness.publish(OrderConfirmed(order_id=placed.order_id))
        harness.advance(0.5)
        store.add(placed)
        harness.settle()
    found = store.get(placed.order_id)
    assert found is not None
    assert found.is_confirmed


@pytest.mark.parametrize(
    ("field", "value"),
    [("lines", ()), ("email", ""), ("currency", "euro"), ("total", Decimal("-1")), ("placed_at", datetime(2026, 1, 1))],
)
def test_an_order_that_makes_no_sense_cannot_be_announced(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        order(**{field: value})
