"""What the fulfillment service does: ship an order, or reject it. Both are events; being out of stock is no error."""

from __future__ import annotations

from services.fulfillment.events import OrderPlaced, OrderRejected, OrderShipped
from services.fulfillment.store import Warehouse


class Fulfillment:
    """Ships orders from a warehouse."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def ship(self, order: OrderPlaced) -> OrderShipped | OrderRejected:
        decision = self._warehouse.fulfil(order.order_id, order.lines)
        if decision.tracking_number is None:
            return OrderRejected(order_id=order.order_id, reason=decision.reason or "not deliverable")
        return OrderShipped(order_id=order.order_id, tracking_number=decision.tracking_number)
