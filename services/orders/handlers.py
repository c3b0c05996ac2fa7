"""What the orders service hears: it follows what becomes of its orders."""

from __future__ import annotations

from eventbus import Reject, RetryLater
from eventbus.sql import SqlContext
from services.orders.events import OrderConfirmed, OrderRejected, OrderShipped
from services.orders.store import OrderStore


class OrderTracker:
    """Keeps an order's status up to date from what other services announce."""

    def __init__(self, store: OrderStore) -> None:
        self._store = store

    def note_shipped(self, event: OrderShipped, context: SqlContext) -> None:
        if len(event.tracking_number) > 64:  # SQLite would take it
            raise Reject("the tracking number is longer than 64 characters")
        found = self._store.note(context.connection, event.order_id, status="shipped", tracking_number=event.tracking_number)
        self._must_be(found)

    def note_rejected(self, event: OrderRejected, context: SqlContext) -> None:
        found = self._store.note(context.connection, event.order_id, status="rejected", reason=event.reason)
        self._must_be(found)

    def note_confirmed(self, event: OrderConfirmed, context: SqlContext) -> None:
        at = context.occurred_at.timestamp()
        self._must_be(self._store.note(context.connection, event.order_id, confirmed_at=at))

    @staticmethod
    def _must_be(found: bool) -> None:
        if not found:  # of another database, as after a restore from a backup; an operator decides in the end
            raise RetryLater(after=1.0)
