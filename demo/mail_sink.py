"""Mail sink: a real SMTP server on a free port that keeps what it is sent."""

from __future__ import annotations

import socket
from collections import Counter
from email import message_from_bytes
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller

HOST = "127.0.0.1"


class MailSink:
    """Mails by what they are about; a context manager."""

    def __init__(self) -> None:
        self.subjects: Counter[str] = Counter()
        self.last: Any = None
        """The mail that came last, parsed."""
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port: int = probe.getsockname()[1]
        self._controller = Controller(self, hostname=HOST, port=self.port)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail."""
        self.last = message_from_bytes(envelope.content, policy=default)
        self.subjects[str(self.last["Subject"])] += 1
        return "250 taken"

    def start(self) -> None:
        """Listen."""
        self._controller.start()

    def stop(self) -> None:
        """Listen no more. Idempotent."""
        self._controller.stop(no_assert=True)
