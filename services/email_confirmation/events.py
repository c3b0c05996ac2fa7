"""Events of the email confirmation service: its job and its fact, and its view of a placed order."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from eventbus import Event, Value


class OrderLine(Value):
    """View: a line as it stands in the mail."""

    sku: str
    quantity: int
    price: Decimal


class OrderPlaced(Event, topic="orders_placed"):
    """View: an order to confirm, whole, so that nobody has to be asked for it."""

    order_id: UUID
    email: str
    currency: str
    total: Decimal
    lines: tuple[OrderLine, ...]


class ConfirmationPrepared(Event, topic="email", version=1):
    """A confirmation is written and waits for a worker to send it: the job of the worker pattern."""

    order_id: UUID
    recipient: str
    subject: str
    text: str


class OrderConfirmed(Event, topic="orders_confirmed", version=1):
    """The customer has the confirmation by mail."""

    order_id: UUID
