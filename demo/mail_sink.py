"""Mail sink: a real SMTP server on a free port that keeps what it is sent."""

from __future__ import annotations

import socket
from collections import Counter
from email.parser import BytesHeaderParser
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller

HOST = "127.0.0.1"
_HEADS = BytesHeaderParser(policy=default)


class MailSink:
    """Mails by what they are about; a context manager."""

    def __init__(self) -> None:
        self.subjects: Counter[str] = Counter()
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port: int = probe.getsockname()[1]
        self._controller = Controller(self, hostname=HOST, port=self.port)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail."""
        # its head alone: to parse the bodies is a sixth of the work of all services together
        self.subjects[str(_HEADS.parsebytes(envelope.content)["Subject"])] += 1
        return "250 taken"

    def start(self) -> None:
        """Listen."""
        self._controller.start()

    def stop(self) -> None:
        """Listen no more. Idempotent."""
        self._controller.stop(no_assert=True)
