"""The event that all benchmarks carry: an order with three lines, with UUID, Decimal and datetime fields.

It travels as the scenario's do: published while another event is handled, so with a cause, a correlation, a depth and a
trace, and through an outbox that waits for receipts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

from eventbus import Event, Value
from eventbus.context import current_cause
from eventbus.publishing.envelopes import EnvelopeFactory
from eventbus.wire.envelope import RECEIPT_TO, Envelope
from eventbus.wire.identity import new_id

SERVICE = "orders"
_TRACE = f"00-{'4bf92f35' * 4}-{'00f067aa' * 2}-01"
_CAUSE = Envelope(new_id(), "shop", "CheckedOut", "2026-01-31T12:00:00.000000Z", None, traceparent=_TRACE)


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


@contextmanager
def caused() -> Iterator[None]:
    """Publish as in a handler: with a cause, a correlation, a depth and a trace."""
    token = current_cause.set((_CAUSE, SERVICE))
    try:
        yield
    finally:
        current_cause.reset(token)


def renew(order: OrderPlaced) -> OrderPlaced:
    """Return `order` as a new event, without the cost of constructing it."""
    order.__dict__.pop("__event_id__", None)
    return order


def travelling(envelopes: EnvelopeFactory, order: OrderPlaced) -> bytes:
    """Return the bytes of an order as an outbox of the scenario sends it."""
    with caused():
        envelope = envelopes.make(renew(order))
    envelope.extensions = {RECEIPT_TO: f"{SERVICE}_receipts"}
    return envelopes.encode(envelope)
