"""What the orders service does: place orders, and follow what becomes of them."""

from __future__ import annotations

from uuid import UUID

from eventbus import RetryLater
from services.orders.events import OrderConfirmed, OrderRejected, OrderShipped
from services.orders.store import Order, OrderStore


class OrderTracker:
    """Keeps an order's status up to date from what other services announce."""

    def __init__(self, store: OrderStore) -> None:
        self._store = store

    def note_shipped(self, event: OrderShipped) -> None:
        order = self._find(event.order_id)
        order.status = "shipped"
        order.tracking_number = event.tracking_number

    def note_rejected(self, event: OrderRejected) -> None:
        order = self._find(event.order_id)
        order.status = "rejected"
        order.reason = event.reason

    def note_confirmed(self, event: OrderConfirmed) -> None:
        self._find(event.order_id).is_confirmed = True

    def _find(self, order_id: UUID) -> Order:
        order = self._store.get(order_id)
        if order is None:  # the answer may overtake the write of another replica
            raise RetryLater(after=1.0)
        return order
