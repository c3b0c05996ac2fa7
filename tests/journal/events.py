"""Events and entries for tests of the journal."""

from __future__ import annotations

from typing import Any

from eventbus import Event
from eventbus.journal.entries import Entry

ORDERS, SHIPMENTS = "journal_orders", "journal_shipments"


class Placed(Event, topic=ORDERS, version=1):
    order_id: str


class Shipped(Event, topic=SHIPMENTS, version=1):
    order_id: str


def entry(id: str, **changes: Any) -> Entry:
    """Return an entry with these values in place of the usual ones."""
    usual: dict[str, Any] = {
        "source": "orders",
        "type": "OrderPlaced",
        "version": 1,
        "topic": "orders_placed",
        "correlation": id,
        "cause": None,
        "subject": None,
        "time": 1000.0,
        "size": 3,
        "place": None,
        "body": b"abc",
    }
    return Entry(id=id, **{**usual, **changes})
