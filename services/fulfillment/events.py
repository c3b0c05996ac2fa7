"""Events of the fulfillment service: what it owns, and its view of a placed order."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from eventbus import Event, Value


class OrderLine(Value):
    """View: what of an order's line must leave the stock."""

    # the limits of the contract: a negative quantity of a stranger would fill the stock
    sku: str = Field(min_length=1, max_length=64)
    quantity: int = Field(ge=1, le=10_000)


class OrderPlaced(Event, topic="orders_placed"):
    """View: an order to ship; its price and its customer are none of our business."""

    order_id: UUID
    lines: tuple[OrderLine, ...] = Field(min_length=1, max_length=1000)


class OrderShipped(Event, topic="orders_shipped", version=1):
    """An order left the warehouse."""

    order_id: UUID
    tracking_number: str = Field(examples=["TRK-4B5C6D7E8F90"])


class OrderRejected(Event, topic="orders_rejected", version=1):
    """An order cannot be delivered."""

    order_id: UUID
    reason: str = Field(examples=["out of stock: SKU-13"])
