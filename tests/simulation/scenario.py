"""The three services of the scenario in a simulation: their handlers, stores and tables as they are; without sockets.

The mail server is a list, and the orders service is asked by a call in place of HTTP: a simulation has no network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from eventbus import Service
from eventbus.attachments import BusTime
from eventbus.sql import Database, Inbox, LateInbox, Outbox, Receipts
from eventbus.testing import fresh_database
from services.email_confirmation import tables as email_tables
from services.email_confirmation.events import MailPrepared, OrderShipped
from services.email_confirmation.events import OrderPlaced as OrderToConfirm
from services.email_confirmation.handlers import PATIENT, Sender, Writer
from services.email_confirmation.orders_client import Line, Order, UnknownOrderError
from services.email_confirmation.postbook import TIME_LIMIT, PostBook
from services.fulfillment import tables as fulfillment_tables
from services.fulfillment.events import OrderPlaced as OrderToShip
from services.fulfillment.handlers import Fulfillment
from services.fulfillment.warehouse import Warehouse
from services.orders import store as store_module
from services.orders import tables as orders_tables
from services.orders.events import OrderConfirmed, OrderRejected
from services.orders.events import OrderShipped as ShippedOrder
from services.orders.handlers import OrderTracker
from services.orders.models import OrderIn
from services.orders.store import OrderStore

STOCK = 10
EACH = 2


class Desk:
    """The orders service, asked without HTTP."""

    def __init__(self, store: OrderStore) -> None:
        self._store = store

    def get(self, order_id: UUID) -> Order:
        found = self._store.get(order_id)
        if found is None:
            raise UnknownOrderError
        lines = tuple(Line.model_validate(dict(each)) for each in found.lines)
        return Order(order_id=found.order_id, email=found.email, currency=found.currency, lines=lines)


@dataclass
class Scenario:
    """All of it, and what the world outside sees."""

    services: list[Service]
    store: OrderStore
    orders: Database
    fulfillment: Database
    email: Database
    mails: list[tuple[str, str]] = field(default_factory=list)
    """Subject and Message-ID of each mail that the server took."""

    def send(self, message: EmailMessage, recipient: str) -> None:
        """Take a mail, as a server does."""
        self.mails.append((message["Subject"], message["Message-ID"]))

    def place_an_order(self) -> None:
        """As a client of the API."""
        line = {"sku": "SKU-1", "quantity": EACH, "price": "10.00"}
        request = OrderIn.model_validate(
            {"customer_id": "c-1", "email": "ada@example.org", "currency": "EUR", "lines": [line]}
        )
        self.store.place(request, None, "")

    def all_is_well(self) -> None:
        """Every order was shipped once, confirmed once, written of twice, and the stock says so."""
        orders = rows(self.orders, orders_tables.orders)
        shipments = rows(self.fulfillment, fulfillment_tables.shipments)
        for order in orders:
            assert order.status == "shipped", f"order {order.order_id} is {order.status}"
            assert order.confirmed_at is not None, f"order {order.order_id} was never confirmed"
            there = [each for each in shipments if each.order_id == order.order_id]
            assert len(there) == 1, f"{len(there)} shipments of order {order.order_id}"
            told: dict[str, set[str]] = {subject: set() for subject, _ in self.mails if str(order.order_id) in subject}
            for subject, identifier in self.mails:
                if subject in told:
                    told[subject].add(identifier)
            assert len(told) == 2, f"mails of order {order.order_id}: {sorted(told)}"
            assert all(len(each) == 1 for each in told.values()), f"two mails, each new to the mailbox: {told}"
        assert len(shipments) == len(orders), "shipped what nobody ordered"
        (stock,) = rows(self.fulfillment, fulfillment_tables.stock)
        assert stock.quantity == STOCK - EACH * len(orders), f"stock: {stock.quantity}"


def rows(database: Database, table: sa.Table) -> list[Any]:
    with database.engine.connect() as connection:
        return list(connection.execute(sa.select(table)))


@contextmanager
def build() -> Iterator[Scenario]:
    """Put everything together, as `app.py` of each service does."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        numbers = iter(range(1, 1000))
        patch.setattr(store_module, "uuid4", lambda: UUID(int=next(numbers)))
        orders, fulfillment, email = (
            stack.enter_context(fresh_database(each.metadata)) for each in (orders_tables, fulfillment_tables, email_tables)
        )
        receipts = Receipts(timeout=30.0)
        time = BusTime()

        outbox = Outbox(orders, source="orders", receipts=receipts)
        outbox.expect("orders_placed", ["fulfillment", "email_confirmation"])
        store = OrderStore(orders, outbox, time)
        tracker = OrderTracker(store)
        inbox = Inbox(orders, outbox=outbox)
        tracking = Service("orders")
        tracking.on(ShippedOrder, inbox=inbox)(tracker.note_shipped)
        tracking.on(OrderRejected, inbox=inbox)(tracker.note_rejected)
        tracking.on(OrderConfirmed, inbox=inbox)(tracker.note_confirmed)
        tracking.attach(time, outbox)

        shipped = Outbox(fulfillment, source="fulfillment", receipts=receipts)
        shipped.expect("orders_shipped", ["orders", "email_confirmation"])
        warehouse = Warehouse(fulfillment, time)
        warehouse.fill({"SKU-1": STOCK})
        shipping = Service("fulfillment")
        shipping.on(OrderToShip, inbox=Inbox(fulfillment, outbox=shipped))(Fulfillment(warehouse).ship)
        shipping.attach(time)

        written = Outbox(email, source="email_confirmation", receipts=receipts)
        written.expect("email", ["default"])
        written.expect("orders_confirmed", ["orders"])
        late = LateInbox(email, outbox=written)
        made = Scenario([], store, orders, fulfillment, email)
        writer = Writer(Desk(store), "http://127.0.0.1")  # type: ignore[arg-type]
        writing = Service("email_confirmation")
        writing.on(OrderToConfirm, inbox=late)(writer.confirm)
        writing.on(OrderShipped, inbox=late, retry=PATIENT)(writer.tell_shipped)
        writing.attach(time)
        sender = Sender(made, "shop@example.org", PostBook(email, time))  # type: ignore[arg-type]
        sending = Service("email_confirmation", channel="default")
        sending.on(MailPrepared, inbox=late, retry=PATIENT, timeout=TIME_LIMIT)(sender.send)
        sending.attach(time)
        made.services += [tracking, shipping, writing, sending]
        yield made
