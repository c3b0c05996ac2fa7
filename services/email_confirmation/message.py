"""Message: a mail's bytes, made so that nothing in an order can become a header or another recipient.

What must hold (tests/services/test_mail_forgery.py has the attacks): one recipient, parsed once; no line break, control
character or encoded word in any header, since some Python versions turn `=?...?=` with a line break inside into a header
of its own (CVE-2024-6923); and when the mail is written, its header block names exactly what was meant.
"""

from __future__ import annotations

import re
import unicodedata
from email.errors import HeaderParseError, MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from services.email_confirmation.events import MailPrepared

_POLICY = SMTP.clone(max_line_length=78)
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*")
"""One plain address (RFC 5321 dot-string without quotes), and nothing beside it."""
_HEADERS = ["from", "to", "subject", "date", "message-id", "auto-submitted", "mime-version", "content-type"]


class ForgedMailError(Exception):
    """Raised when a mail would not be what it says it is; it is never sent."""


def plain_address(text: str) -> Address:
    """Return the one address that `text` is.

    Raises:
        ForgedMailError: it is none, or more than one, or hides something.
    """
    if len(text) > 254 or "=?" in text or _ADDRESS.fullmatch(text) is None:
        raise ForgedMailError("the recipient is not one plain address")
    name, _, domain = text.rpartition("@")
    if ".." in name or name.startswith(".") or name.endswith("."):
        raise ForgedMailError("the recipient is not one plain address")
    try:
        return Address(username=name, domain=domain)
    except (ValueError, HeaderParseError) as error:
        raise ForgedMailError("the recipient is not one plain address") from error


def plain_header(text: str) -> str:
    """Return `text` if it can stand in a header as it is.

    Raises:
        ForgedMailError: it has line breaks, control characters or an encoded word.
    """
    if "=?" in text or any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in text):
        raise ForgedMailError("a header has line breaks, control characters or an encoded word")
    return text


def message_id(event_id: str, sender: str) -> str:
    """Return the Message-ID of the mail that an event causes: the same each time, so that a double can be recognised."""
    return f"<{plain_header(event_id)}@{plain_address(sender).domain}>"


def make_message(mail: MailPrepared, *, event_id: str, sender: str, date: object) -> EmailMessage:
    """Return the mail, ready to be sent.

    Raises:
        ForgedMailError: something in it would become more than it is.
    """
    message = EmailMessage(policy=_POLICY)
    try:
        message["From"] = plain_address(sender)
        message["To"] = plain_address(mail.recipient)
        message["Subject"] = plain_header(mail.subject)
        message["Date"] = format_datetime(date)  # type: ignore[arg-type]
        message["Message-ID"] = message_id(event_id, sender)
        message["Auto-Submitted"] = "auto-generated"  # so that no absence note answers it (RFC 3834)
        message.set_content(mail.text)
        message.add_alternative(mail.html, subtype="html")
    except (ValueError, MessageError) as error:
        raise ForgedMailError(f"the mail cannot be written: {type(error).__name__}") from error
    _check_headers(message)
    return message


def _check_headers(message: EmailMessage) -> None:
    block = message.as_bytes().split(b"\r\n\r\n", 1)[0]
    lines = [line for line in block.split(b"\r\n") if not line.startswith((b" ", b"\t"))]
    names = sorted(line.split(b":", 1)[0].decode("ascii", "replace").lower() for line in lines)
    if names != sorted(_HEADERS) or b"\n" in block.replace(b"\r\n", b""):
        raise ForgedMailError("the mail's header block is not what was meant")
