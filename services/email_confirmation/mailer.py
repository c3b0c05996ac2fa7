"""Mailer: hands mails to an SMTP server, over connections that are kept."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from email.message import EmailMessage

from services.email_confirmation.settings import EmailSettings


class PermanentMailError(Exception):
    """Raised when the server refused the mail for good (5xx): sending it again would be refused again."""


class TemporaryMailError(Exception):
    """Raised when the mail could not be handed over now: the server is away, busy, or asks to come later."""


class Mailer:
    """Sends mails; safe to use from many greenlets. Attached to its service, it closes its connections with it."""

    def __init__(self, settings: EmailSettings) -> None:
        self._settings = settings
        self._idle: list[smtplib.SMTP] = []
        self._tls: ssl.SSLContext | None = None
        if settings.smtp_security == "starttls":
            self._tls = ssl.create_default_context(cafile=settings.smtp_ca_file)
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2

    def send(self, message: EmailMessage, recipient: str) -> None:
        """Return when the server has taken the mail for `recipient`, the one address of the envelope.

        Raises:
            TemporaryMailError, PermanentMailError: it has not; where the connection broke off, it may have all the same.
        """
        kept = self._idle.pop() if self._idle else None
        if kept is not None:
            try:
                kept.rset()  # a connection that the server closed meanwhile is no reason to fail
            except (OSError, smtplib.SMTPException):
                self._drop(kept)
                kept = None
        connection = kept or self._connect()
        try:
            connection.send_message(message, from_addr=self._settings.sender, to_addrs=[recipient])
        except smtplib.SMTPRecipientsRefused as error:
            self._keep(connection)
            code, text = next(iter(error.recipients.values()))
            raise _refused(code, text) from None
        except smtplib.SMTPResponseException as error:
            self._keep(connection)
            raise _refused(error.smtp_code, error.smtp_error) from None
        except (OSError, smtplib.SMTPException) as error:
            self._drop(connection)
            raise TemporaryMailError(f"{type(error).__name__}: {error}") from None
        except BaseException:  # interrupted in the middle: what the server would say next is unknown
            self._drop(connection)
            raise
        self._keep(connection)

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        connection = None
        try:
            connection = smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=settings.smtp_timeout)
            if self._tls is not None:
                connection.starttls(context=self._tls)  # raises where the server offers none: never in clear by accident
            if settings.smtp_user and settings.smtp_password:
                connection.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        except smtplib.SMTPAuthenticationError as error:
            self._drop(connection)
            raise TemporaryMailError(f"the mail server refused the login ({error.smtp_code})") from None
        except (OSError, smtplib.SMTPException) as error:
            self._drop(connection)
            where = f"{settings.smtp_host}:{settings.smtp_port}"
            raise TemporaryMailError(f"no mail server at {where}: {type(error).__name__}: {error}") from None
        return connection

    def _keep(self, connection: smtplib.SMTP) -> None:
        if len(self._idle) < self._settings.concurrency:
            self._idle.append(connection)
        else:
            self._drop(connection)

    @staticmethod
    def _drop(connection: smtplib.SMTP | None) -> None:
        if connection is not None:
            with suppress(OSError, smtplib.SMTPException):
                connection.close()

    # -- as an attachment -------------------------------------------------------------------------------------------

    def start(self, bus: object) -> None:
        """Connections are made when there is something to send."""

    def stop_intake(self) -> None:
        """What is being sent is sent."""

    def is_idle(self) -> bool:
        """Nothing goes on here by itself."""
        return True

    def stop(self, timeout: float = 0.0) -> None:
        """Close the connections that are kept. Idempotent."""
        while self._idle:
            self._drop(self._idle.pop())


def _refused(code: int, text: bytes | str) -> Exception:
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    kind = PermanentMailError if 500 <= code < 600 else TemporaryMailError
    return kind(f"the mail server says {code} {' '.join(said.split())[:200]}")
