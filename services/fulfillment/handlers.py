"""What the fulfillment service does: ship an order, or reject it. Both are events; being out of stock is no error."""

from __future__ import annotations

from eventbus.sql import SqlContext
from services.fulfillment.events import OrderPlaced, OrderRejected, OrderShipped
from services.fulfillment.warehouse import Warehouse


class Fulfillment:
    """Ships orders from a warehouse."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def ship(self, order: OrderPlaced, context: SqlContext) -> OrderShipped | OrderRejected:
        decision = self._warehouse.fulfil(context.connection, order.order_id, order.lines, by=context.instance)
        if decision.tracking_number is None:
            return OrderRejected(order_id=order.order_id, reason=decision.reason or "not deliverable")
        return OrderShipped(order_id=order.order_id, tracking_number=decision.tracking_number)
