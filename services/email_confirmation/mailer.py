"""Mailer: hands mails to an SMTP server, over connections that are kept."""

from __future__ import annotations

import smtplib
import ssl
import sys
from contextlib import suppress
from email.message import EmailMessage

from services.email_confirmation.settings import EmailSettings

_SET_UP = (530, 534, 535, 538)
"""What servers say when it is the login that they do not like (RFC 4954): no fault of a mail."""


class PermanentMailError(Exception):
    """Raised when the server refused the mail for good (5xx): sending it again would be refused again."""


class TemporaryMailError(Exception):
    """Raised when the mail could not be handed over now: the server is away, busy, wants a login, or asks to come later."""


class UncertainMailError(TemporaryMailError):
    """Raised when the connection broke off after the mail was written: the server may have it or not."""


class _LostError(Exception):
    """The connection ended before the mail was written on it."""


class Mailer:
    """Sends mails; safe to use from many greenlets. Attached to its service, it closes its connections with it."""

    def __init__(self, settings: EmailSettings) -> None:
        self._settings = settings
        self._idle: list[smtplib.SMTP] = []
        self._tls: ssl.SSLContext | None = None
        if settings.smtp_security != "none":
            self._tls = ssl.create_default_context(cafile=settings.smtp_ca_file)
            self._tls.minimum_version = ssl.TLSVersion.TLSv1_2

    def send(self, message: EmailMessage, recipient: str) -> None:
        """Return when the server has taken the mail for `recipient`, the one address of the envelope.

        Raises:
            TemporaryMailError: it has not, and may take it later.
            UncertainMailError: nobody knows.
            PermanentMailError: it never will.
        """
        content = message.as_bytes()
        while self._idle:
            kept = self._idle.pop()
            try:
                code, _ = kept.rset()
                if code != 250:  # as 421, by which a server ends what was idle for too long
                    raise _LostError
                self._hand_over(kept, content, recipient)
            except (_LostError, OSError, smtplib.SMTPServerDisconnected):
                self._drop(kept)  # what the server closed meanwhile is no failure
                continue
            except BaseException:
                self._drop_if_unclear(kept)
                raise
            self._keep(kept)
            return
        connection = self._connect()
        try:
            self._hand_over(connection, content, recipient)
        except _LostError as error:
            self._drop(connection)
            raise TemporaryMailError(f"the mail server ended the connection: {error}") from None
        except BaseException:
            self._drop_if_unclear(connection)
            raise
        self._keep(connection)

    def probe(self, recipient: str) -> None:
        """Return if the server would take a mail for `recipient` now; none is sent.

        Raises:
            TemporaryMailError, PermanentMailError: as `send`.
        """
        connection = self._connect()
        try:
            self._address(connection, recipient, [])
            connection.rset()
        except (_LostError, OSError, smtplib.SMTPException) as error:
            raise TemporaryMailError(f"the mail server ended the connection: {error}") from None
        finally:
            self._drop(connection)

    def _address(self, connection: smtplib.SMTP, recipient: str, options: list[str]) -> None:
        connection.ehlo_or_helo_if_needed()
        code, text = connection.mail(self._settings.sender, options)
        if code != 250:  # the sender is the same in every mail: no fault of this one
            raise _lost_or(TemporaryMailError(_said(code, text)), code)
        code, text = connection.rcpt(recipient)
        if code not in (250, 251):
            raise _lost_or(_refused(code, text), code)

    def _hand_over(self, connection: smtplib.SMTP, content: bytes, recipient: str) -> None:
        try:
            connection.ehlo_or_helo_if_needed()
            options = [f"size={len(content)}"] if connection.has_extn("size") else []
            self._address(connection, recipient, options)
            code, text = connection.docmd("DATA")
            if code != 354:
                raise _lost_or(_refused(code, text), code)
        except smtplib.SMTPHeloError as error:
            raise TemporaryMailError(_said(error.smtp_code, error.smtp_error)) from None
        except (OSError, smtplib.SMTPException) as error:
            raise _LostError(f"{type(error).__name__}: {error}") from None
        try:
            connection.send(_dotted(content))
            code, text = connection.getreply()
        except (OSError, smtplib.SMTPException) as error:
            raise UncertainMailError(f"{type(error).__name__}: {error}") from None
        if code != 250:
            raise _lost_or(_refused(code, text), code)

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        where = (settings.smtp_host, settings.smtp_port)
        connection: smtplib.SMTP | None = None
        try:
            if settings.smtp_security == "tls":
                assert self._tls is not None
                connection = smtplib.SMTP_SSL(*where, timeout=settings.smtp_timeout, context=self._tls)
            else:
                connection = smtplib.SMTP(*where, timeout=settings.smtp_timeout)
                if self._tls is not None:
                    connection.starttls(context=self._tls)  # raises where the server offers none: never in clear by accident
            if settings.smtp_user and settings.smtp_password:
                connection.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        except smtplib.SMTPAuthenticationError as error:
            self._drop(connection)
            raise TemporaryMailError(f"the mail server refused the login ({error.smtp_code})") from None
        except (OSError, smtplib.SMTPException) as error:
            self._drop(connection)
            raise TemporaryMailError(f"no mail server at {where[0]}:{where[1]}: {type(error).__name__}: {error}") from None
        except BaseException:
            self._drop(connection)
            raise
        return connection

    def _keep(self, connection: smtplib.SMTP) -> None:
        if len(self._idle) < self._settings.concurrency:
            self._idle.append(connection)
        else:
            self._drop(connection)

    def _drop_if_unclear(self, connection: smtplib.SMTP) -> None:
        """Keep a connection after a refusal, which is an answer; what comes next after anything else is unknown."""
        if isinstance(sys.exception(), PermanentMailError):
            self._keep(connection)
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


def _dotted(content: bytes) -> bytes:
    """Return a message as it is written after DATA: lines that begin with a dot get another (RFC 5321, 4.5.2)."""
    ended = content if content.endswith(b"\r\n") else content + b"\r\n"
    return (b"." + ended if ended.startswith(b".") else ended).replace(b"\r\n.", b"\r\n..") + b".\r\n"


def _said(code: int, text: bytes | str) -> str:
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"the mail server says {code} {' '.join(said.split())[:200]}"


def _refused(code: int, text: bytes | str) -> Exception:
    kind = PermanentMailError if 500 <= code < 600 and code not in _SET_UP else TemporaryMailError
    return kind(_said(code, text))


def _lost_or(error: Exception, code: int) -> Exception:
    """Return what an answer means: 421 ends the connection, and says of the mail only that it was not taken."""
    return _LostError(str(error)) if code == 421 else error
