"""The event that all benchmarks carry: an order with three lines, with UUID, Decimal and datetime fields."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

from eventbus import Event, Value


class OrderLine(Value):
    """One article."""

    sku: str
    quantity: int
    price: Decimal


class OrderPlaced(Event, topic="bench_orders"):
    """An order as a subscriber reads it: the scenario's fields and types, without its owner's bounds on their values."""

    order_id: UUID
    customer_id: str
    email: str
    currency: str
    placed_at: datetime
    total: Decimal
    note: str | None = None
    lines: tuple[OrderLine, ...]


def make_order() -> OrderPlaced:
    """Return a new order."""
    prices = (Decimal("10.00"), Decimal("9.90"), Decimal("100.00"))
    return OrderPlaced(
        order_id=uuid4(),
        customer_id="c-123456",
        email="ada@example.org",
        currency="EUR",
        placed_at=datetime.now(UTC),
        total=Decimal("129.90"),
        lines=tuple(OrderLine(sku=f"SKU-{number}", quantity=1, price=price) for number, price in enumerate(prices)),
    )
