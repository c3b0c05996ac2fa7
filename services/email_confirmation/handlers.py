"""What the email confirmation service does: write each order's confirmation, and send what is written."""

from __future__ import annotations

from services.email_confirmation.events import ConfirmationPrepared, OrderConfirmed, OrderPlaced
from services.email_confirmation.mailbox import Mailbox


def write_confirmation(order: OrderPlaced) -> ConfirmationPrepared:
    """Write the mail and queue it as a job, so that a slow mail server holds up no order."""
    lines = "\n".join(f"  {line.quantity} x {line.sku} at {line.price} {order.currency}" for line in order.lines)
    return ConfirmationPrepared(
        order_id=order.order_id,
        recipient=order.email,
        subject=f"Your order {order.order_id}",
        text=f"Thank you for your order.\n\n{lines}\n\nTotal: {order.total} {order.currency}\n",
    )


class Mailer:
    """Sends prepared mails."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def send(self, mail: ConfirmationPrepared) -> OrderConfirmed:
        self._mailbox.send(mail)
        return OrderConfirmed(order_id=mail.order_id)
