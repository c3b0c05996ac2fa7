"""Wiring of the fulfillment service: the one place where its parts meet."""

from __future__ import annotations

from eventbus import Retry, Service
from services.fulfillment.events import OrderPlaced
from services.fulfillment.handlers import Fulfillment
from services.fulfillment.store import Warehouse

NAME = "fulfillment"


def build(warehouse: Warehouse, *, retry: Retry | None = None, instance: str | None = None) -> Service:
    """Return a worker of the service that ships from `warehouse`."""
    service = Service(NAME, instance=instance)
    service.on(OrderPlaced, retry=retry)(Fulfillment(warehouse).ship)
    return service
