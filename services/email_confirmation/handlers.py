"""What the email confirmation service does: write mails, and send what is written."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import sqlalchemy as sa

from eventbus import Reject
from eventbus.sql import SqlContext
from services.email_confirmation.events import MailPrepared, OrderConfirmed, OrderPlaced, OrderShipped
from services.email_confirmation.mailer import Mailer, PermanentMailError
from services.email_confirmation.message import ForgedMailError, make_message
from services.email_confirmation.orders_client import OrdersClient
from services.email_confirmation.rendering import render
from services.email_confirmation.tables import mails


class Writer:
    """Writes mails and queues them as jobs, so that a slow mail server holds up no order."""

    def __init__(self, orders: OrdersClient, orders_url: str) -> None:
        self._orders = orders
        self._orders_url = orders_url

    def confirm(self, order: OrderPlaced) -> MailPrepared:
        """Whole object: the event has all that the mail says, so it works while the orders service is down, and confirms
        the order as it was placed."""
        text, html = render("confirmation", order=order, orders_url=self._orders_url)
        return MailPrepared(
            kind="confirmation",
            order_id=order.order_id,
            recipient=order.email,
            subject=f"Your order {order.order_id}",
            text=text,
            html=html,
        )

    def tell_shipped(self, event: OrderShipped) -> MailPrepared:
        """Reference: the event names the order alone. The orders service is asked, knows the address as it is now, and has
        to be up."""
        order = self._orders.get(event.order_id)
        text, html = render("shipping", order=order, tracking_number=event.tracking_number, orders_url=self._orders_url)
        return MailPrepared(
            kind="shipping",
            order_id=event.order_id,
            recipient=order.email,
            subject=f"Your order {event.order_id} is on its way",
            text=text,
            html=html,
        )


class Sender:
    """Sends prepared mails, each once unless the process dies between the server's yes and the commit."""

    def __init__(self, mailer: Mailer, sender: str) -> None:
        self._mailer = mailer
        self._sender = sender

    def send(self, mail: MailPrepared, context: SqlContext) -> OrderConfirmed | None:
        """Send; the claim of the inbox is held meanwhile, so that no other worker sends the same."""
        try:
            message = make_message(mail, event_id=context.event_id, sender=self._sender, date=datetime.now(UTC))
            self._mailer.send(message, mail.recipient)
        except (ForgedMailError, PermanentMailError) as error:
            raise Reject(str(error)) from None
        row = {
            "event_id": context.event_id,
            "kind": mail.kind,
            "order_id": mail.order_id,
            "sent_at": time.time(),
            "sent_by": context.instance,
        }
        context.connection.execute(sa.insert(mails).values(row))
        return OrderConfirmed(order_id=mail.order_id) if mail.kind == "confirmation" else None
