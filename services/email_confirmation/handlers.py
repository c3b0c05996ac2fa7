"""What the email confirmation service does: write mails, and send what is written."""

from __future__ import annotations

from datetime import UTC, datetime
from email.message import EmailMessage

from eventbus import Context, Reject, Retry, RetryLater
from services.email_confirmation.events import MailPrepared, OrderConfirmed, OrderPlaced, OrderShipped
from services.email_confirmation.mailer import Mailer, PermanentMailError, TemporaryMailError, UncertainMailError
from services.email_confirmation.message import ForgedMailError, make_message
from services.email_confirmation.orders_client import OrdersAwayError, OrdersClient, UnknownOrderError
from services.email_confirmation.postbook import BeingSentError, GivenUpError, PostBook, key_of
from services.email_confirmation.rendering import render

PATIENT = Retry(attempts=1000, first=1.0, ceiling=900.0)
"""For what depends on another server: days of outage, with growing delay, before a mail becomes a dead letter."""
_ASKED_FOR_UNKNOWN = 12
"""Questions for an order that is not known, a quarter of an hour in all: an event may be faster than what it tells of, but
not by days."""


class Writer:
    """Writes mails and queues them as jobs, so that a slow mail server holds up no order."""

    def __init__(self, orders: OrdersClient, orders_url: str, policy: Retry = PATIENT) -> None:
        self._orders = orders
        self._orders_url = orders_url
        self._policy = policy

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

    def tell_shipped(self, event: OrderShipped, context: Context) -> MailPrepared:
        """Reference: the event names the order alone. The orders service is asked, knows the address as it is now, and has
        to be up. No transaction is open meanwhile."""
        try:
            order = self._orders.get(event.order_id)
        except UnknownOrderError:
            if context.attempt >= _ASKED_FOR_UNKNOWN:
                raise Reject("the orders service does not know the order") from None
            raise RetryLater(after=self._policy.delay(context.attempt)) from None
        except OrdersAwayError:
            raise RetryLater(after=self._policy.delay(context.attempt)) from None
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
    """Sends prepared mails; see `postbook.py` for how each is sent once."""

    def __init__(self, mailer: Mailer, sender: str, book: PostBook, *, own: str = "email_confirmation") -> None:
        self._mailer = mailer
        self._sender = sender
        self._book = book
        self._own = own

    def send(self, mail: MailPrepared, context: Context) -> OrderConfirmed | None:
        """Claim, send, note: each of the two transactions is short, and none is open while the mail server is spoken to."""
        key = key_of(context.source, context.event_id, own=self._own)
        try:
            message = make_message(mail, event_id=context.event_id, sender=self._sender, date=datetime.now(UTC))
            if context.is_dry_run:
                self._mailer.probe(mail.recipient)
                return OrderConfirmed(order_id=mail.order_id) if mail.kind == "confirmation" else None
            if self._book.claim(key):
                self._hand_over(message, mail.recipient, key)
            self._book.note(key, kind=mail.kind, order_id=mail.order_id, by=context.instance)
        except (ForgedMailError, PermanentMailError, GivenUpError) as error:
            raise Reject(str(error)) from None
        except BeingSentError as error:
            raise RetryLater(after=error.seconds) from None
        return OrderConfirmed(order_id=mail.order_id) if mail.kind == "confirmation" else None

    def _hand_over(self, message: EmailMessage, recipient: str, key: str) -> None:
        try:
            self._mailer.send(message, recipient)
        except UncertainMailError:
            raise  # the claim stays: it counts
        except (TemporaryMailError, PermanentMailError):
            self._book.release(key)
            raise
