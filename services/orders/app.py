"""Wiring of the orders service: the one place where its parts meet."""

from __future__ import annotations

from eventbus import Retry, Service
from services.orders.events import OrderConfirmed, OrderRejected, OrderShipped
from services.orders.handlers import OrderTracker
from services.orders.store import OrderStore

NAME = "orders"


def build(store: OrderStore, *, retry: Retry | None = None) -> Service:
    """Return the service that follows orders in `store`."""
    service = Service(NAME)
    tracker = OrderTracker(store)
    service.on(OrderShipped, retry=retry)(tracker.note_shipped)
    service.on(OrderRejected, retry=retry)(tracker.note_rejected)
    service.on(OrderConfirmed, retry=retry)(tracker.note_confirmed)
    return service
