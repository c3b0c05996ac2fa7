"""The email confirmation service: one mail for each order, by the worker pattern."""

from __future__ import annotations

from decimal import Decimal
from uuid import uuid4

from eventbus.testing import Harness
from services.email_confirmation import app
from services.email_confirmation.events import ConfirmationPrepared, OrderConfirmed, OrderLine, OrderPlaced
from services.email_confirmation.mailbox import Mailbox


def order() -> OrderPlaced:
    return OrderPlaced(
        order_id=uuid4(),
        email="ada@example.org",
        currency="EUR",
        total=Decimal("20.00"),
        lines=(OrderLine(sku="SKU-1", quantity=2, price=Decimal("10.00")),),
    )


def test_an_order_gets_its_mail_through_the_job_queue() -> None:
    mailbox = Mailbox()
    with Harness(*app.build(mailbox), *app.build(mailbox)) as harness:
        placed = order()
        harness.publish(placed)
        harness.settle()
        assert harness.published_types() == ["OrderPlaced", "ConfirmationPrepared", "OrderConfirmed"]
        assert harness.engine.stats()["email"].channels["default"].subscribers == 2
    mail = mailbox.mails[placed.order_id]
    assert mail.recipient == "ada@example.org"
    assert "2 x SKU-1 at 10.00 EUR" in mail.text


def test_doubles_and_failures_send_one_mail() -> None:
    mailbox = Mailbox()
    with Harness(*app.build(mailbox)) as harness:
        harness.duplicate_next(2)
        harness.fail_next(3, event_type=ConfirmationPrepared)
        harness.publish(order())
        harness.settle()
        assert len(harness.published(OrderConfirmed)) >= 1
    assert len(mailbox.sent) == 1
