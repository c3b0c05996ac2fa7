"""Events of the orders service: `OrderPlaced`, which it owns, and its views of what becomes of an order."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import Field

from eventbus import Event, Personal, Value

Money = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2)]


class OrderLine(Value):
    """One article of an order."""

    sku: str = Field(min_length=1, max_length=64, examples=["SKU-1"])
    quantity: int = Field(ge=1, le=10_000, examples=[2])
    price: Money = Field(description="of one piece", examples=["11.90"])


class OrderPlaced(Event, topic="orders_placed", version=1):
    """A customer's order was accepted."""

    order_id: UUID
    customer_id: Personal[str] = Field(min_length=1, max_length=64, examples=["c-17"])
    email: Personal[str] = Field(min_length=3, max_length=254, examples=["ada@example.org"])
    currency: str = Field(pattern="^[A-Z]{3}$", description="ISO 4217", examples=["EUR"])
    placed_at: datetime
    total: Money = Field(examples=["23.80"])
    note: Personal[str | None] = Field(default=None, max_length=1000, examples=["leave at the door"])
    lines: tuple[OrderLine, ...] = Field(min_length=1, max_length=1000)


class OrderShipped(Event, topic="orders_shipped"):
    """View: fulfillment sent an order on its way."""

    order_id: UUID
    tracking_number: str


class OrderRejected(Event, topic="orders_rejected"):
    """View: fulfillment cannot deliver an order."""

    order_id: UUID
    reason: str


class OrderConfirmed(Event, topic="orders_confirmed"):
    """View: the customer has the confirmation by mail."""

    order_id: UUID
