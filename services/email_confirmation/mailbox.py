"""Mailbox: where mails go. In memory; each order's mail is taken once."""

from __future__ import annotations

from uuid import UUID

from services.email_confirmation.events import ConfirmationPrepared


class Mailbox:
    """Mails sent, by order."""

    def __init__(self) -> None:
        self.mails: dict[UUID, ConfirmationPrepared] = {}
        self.sent: list[UUID] = []

    def send(self, mail: ConfirmationPrepared) -> None:
        """Take a mail; the same one again, as after a redelivery, is not sent again."""
        if mail.order_id not in self.mails:
            self.mails[mail.order_id] = mail
            self.sent.append(mail.order_id)
