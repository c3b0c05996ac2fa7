"""Real SMTP servers of the tests: aiosmtpd on a free port, with the manners that a test asks for."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.ports import HOST, free_port
from tests.waiting import PATIENCE


class MailServer:
    """Keeps what it is sent; `answers` are given to the next mails instead of taking them."""

    def __init__(
        self,
        *,
        port: int | None = None,
        tls: ssl.SSLContext | None = None,
        implicit_tls: ssl.SSLContext | None = None,
        password: bytes | None = None,
        look: Callable[[], object] = lambda: None,
    ) -> None:
        self._look = look
        self.sender_answers: list[str] = []
        self.port = port or free_port()
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.answers: list[str] = []
        self.tls_seen: list[bool] = []
        self._password = password
        self._controller = Controller(
            self,
            hostname=HOST,
            port=self.port,
            ready_timeout=PATIENCE,
            tls_context=tls,
            ssl_context=implicit_tls,
            require_starttls=tls is not None,
            authenticator=self._authenticate if password else None,
            auth_required=password is not None,
        )
        self._controller.start()

    def _authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=isinstance(data, LoginPassword) and data.password == self._password, handled=False)

    async def handle_MAIL(self, _server: Any, _session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802 - aiosmtpd's name
        if self.sender_answers:
            return self.sender_answers.pop(0)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 go on"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self._look()
        if self.answers:
            answer = self.answers.pop(0)
            if answer == "taken, and never said":
                self.mails.append(EmailMessage())
                server.transport.abort()
            return answer
        self.tls_seen.append(session.ssl is not None)
        self.recipients.append(list(envelope.rcpt_tos))
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 taken"

    def close(self) -> None:
        self._controller.stop(no_assert=True)
