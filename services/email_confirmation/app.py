"""Wiring of the email confirmation service: the one place where its parts meet."""

from __future__ import annotations

from eventbus import Retry, Service
from services.email_confirmation.events import ConfirmationPrepared, OrderPlaced
from services.email_confirmation.handlers import Mailer, write_confirmation
from services.email_confirmation.mailbox import Mailbox

NAME = "email_confirmation"
JOBS_CHANNEL = "default"


def build(mailbox: Mailbox, *, retry: Retry | None = None, instance: str | None = None) -> tuple[Service, Service]:
    """Return a worker of the service: the writer, subscribed to orders, and the sender, which takes jobs in turns."""
    writer = Service(NAME, instance=instance)
    writer.on(OrderPlaced, retry=retry)(write_confirmation)
    sender = Service(NAME, channel=JOBS_CHANNEL, instance=instance)
    sender.on(ConfirmationPrepared, retry=retry)(Mailer(mailbox).send)
    return writer, sender
