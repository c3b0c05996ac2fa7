"""Attacks on a mail's headers: nothing in an order becomes a header, another recipient or an SMTP command."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import compat32
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.email_confirmation.events import MailPrepared
from services.email_confirmation.message import ForgedMailError, make_message, plain_address

NOW = datetime(2026, 1, 2, tzinfo=UTC)
NAMES = {"from", "to", "subject", "date", "message-id", "auto-submitted", "mime-version", "content-type"}


def mail(**changes: str) -> MailPrepared:
    values = {"recipient": "ada@example.org", "subject": "Your order", "text": "text\n", "html": "<p>text</p>\n"}
    return MailPrepared(kind="confirmation", order_id=uuid4(), **{**values, **changes})  # type: ignore[arg-type]


def headers(changes: dict[str, str]) -> set[str]:
    """Return the header names of the bytes as another program reads them."""
    raw = make_message(mail(**changes), event_id="e-1", sender="shop@example.org", date=NOW).as_bytes()
    return {name.lower() for name in message_from_bytes(raw, policy=compat32).keys()}  # noqa: SIM118


ADDRESSES = {
    "line break": "a@b.cd\r\nBcc: e@f.gh",
    "bare line feed": "a@b.cd\nBcc: e@f.gh",
    "bare carriage return": "a@b.cd\rBcc: e@f.gh",
    "second recipient": "a@b.cd, e@f.gh",
    "second recipient by semicolon": "a@b.cd; e@f.gh",
    "display name": "Ada <a@b.cd>",
    "group": "friends: a@b.cd, e@f.gh;",
    "encoded word with line break (CVE-2024-6923)": "=?utf-8?q?a=0D=0ABcc:_e?=@b.cd",
    "quoted local part with line break": '"a\r\nBcc: e"@b.cd',
    "comment": "a(comment)@b.cd",
    "route": "<@evil.org:a@b.cd>",
    "percent relay kept as one address": "a%e.fg@b.cd@c.de",
    "source that ends the command": "a@b.cd>\r\nDATA",
    "null": "a\x00@b.cd",
    "unicode line separator": "a\u2028Bcc:e@b.cd",
    "fullwidth comma": "a\uff0ce@f.gh",
    "nothing": "",
    "no domain": "ada",
    "too long": "a" * 250 + "@b.cd",
    "dots": "a..b@c.de",
}


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=list(ADDRESSES))
def test_a_recipient_that_is_not_one_plain_address_is_refused(address: str) -> None:
    with pytest.raises(ForgedMailError):
        plain_address(address)
    if len(address) <= 254:
        with pytest.raises(ForgedMailError):
            headers({"recipient": address})


SUBJECTS = {
    "line break": "x\r\nBcc: e@f.gh",
    "line feed": "x\nBcc: e@f.gh",
    "encoded word with line break (CVE-2024-6923)": "=?utf-8?q?x=0D=0ABcc:_a@b.c?=",
    "encoded word in base 64": "=?utf-8?b?eA0KQmNjOiBhQGIuYw==?=",
    "unicode line separator": "x\u2028Bcc: e@f.gh",
    "next line": "x\x85Bcc: e@f.gh",
    "escape": "x\x1b[31m",
    "null": "x\x00",
    "lone surrogate": "x\ud800",
}


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=list(SUBJECTS))
def test_a_subject_that_hides_something_is_refused(subject: str) -> None:
    values = MailPrepared.model_construct(
        kind="confirmation", order_id=uuid4(), recipient="a@b.cd", subject=subject, text="", html=""
    )
    with pytest.raises(ForgedMailError):
        make_message(values, event_id="e", sender="shop@example.org", date=NOW)


@pytest.mark.parametrize("event_id", ["e\r\nBcc: x@y.z", "=?utf-8?q?=0D=0A?="])
def test_an_event_id_that_hides_something_is_refused(event_id: str) -> None:
    with pytest.raises(ForgedMailError):
        make_message(mail(), event_id=event_id, sender="shop@example.org", date=NOW)


def test_honest_mails_have_the_headers_that_were_meant() -> None:
    assert headers({}) == NAMES
    assert headers({"subject": "Ihre Bestellung für Zoë, 10 €" * 4}) == NAMES, "long and not in ASCII"
    assert headers({"recipient": "o'hara+shop@sub.example.org"}) == NAMES
    assert headers({"text": ".\r\nQUIT\r\n", "html": "\r\n.\r\n"}) == NAMES


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=200), st.text(max_size=200))
def test_any_text_gives_the_meant_headers_or_a_refusal(recipient: str, subject: str, text: str, html: str) -> None:
    for to in (recipient, "ada@example.org"):
        values = MailPrepared.model_construct(
            kind="confirmation", order_id=uuid4(), recipient=to, subject=subject, text=text, html=html
        )
        try:
            raw = make_message(values, event_id="e", sender="shop@example.org", date=NOW).as_bytes()
        except ForgedMailError:
            continue
        parsed = message_from_bytes(raw, policy=compat32)
        assert {name.lower() for name in parsed.keys()} == NAMES  # noqa: SIM118
