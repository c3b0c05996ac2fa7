"""Events of the email confirmation service: its job and its fact, and its views of what other services tell."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from eventbus import Event, Personal, Value

# the limits of the contract: what is outside of them no owner sent
Money = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2)]


class OrderLine(Value):
    """View: a line as it stands in the mail."""

    sku: str = Field(min_length=1, max_length=64)
    quantity: int = Field(ge=1, le=10_000)
    price: Money


class OrderPlaced(Event, topic="orders_placed"):
    """View: an order to confirm, whole, so that nobody has to be asked for it."""

    order_id: UUID
    email: Personal[str] = Field(min_length=3, max_length=254)
    currency: str = Field(pattern="^[A-Z]{3}$")
    total: Money
    lines: tuple[OrderLine, ...] = Field(min_length=1, max_length=1000)


class OrderShipped(Event, topic="orders_shipped"):
    """View: an order on its way, a reference: whom to write to, the orders service is asked."""

    order_id: UUID
    tracking_number: str


class MailPrepared(Event, topic="email", version=1):
    """A mail is written and waits for a worker to send it: the job of the worker pattern."""

    kind: Literal["confirmation", "shipping"]
    order_id: UUID
    recipient: Personal[str] = Field(max_length=254, examples=["ada@example.org"])
    subject: str = Field(max_length=200, examples=["Your order 018f0000-0000-7000-8000-000000000001"])
    text: Personal[str] = Field(examples=["Thank you for your order.\n"])
    html: Personal[str] = Field(examples=["<p>Thank you for your order.</p>\n"])


class OrderConfirmed(Event, topic="orders_confirmed", version=1):
    """The customer has the confirmation by mail."""

    order_id: UUID
