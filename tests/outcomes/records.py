"""Records for tests."""

from __future__ import annotations

from typing import Any

from eventbus.outcomes import Record

WHOLE: dict[str, Any] = {
    "outcome": "retried",
    "topic": "email",
    "channel": "default",
    "service": "email_confirmation",
    "instance": "host/1",
    "id": "01a21110-65ac-7f31-9347-5c7a56465212",
    "source": "email_confirmation",
    "type": "MailPrepared",
    "version": 1,
    "correlation": "01a21110-65ac-7f31-9347-000000000000",
    "cause": "01a21110-65ac-7f31-9347-000000000001",
    "subject": "5f512e18",
    "published": 1_800_000_000.25,
    "attempt": 3,
    "begin": 1_800_000_001.0,
    "end": 1_800_000_001.5,
    "again": 1_800_000_006.5,
    "error": "SMTPServerBusy",
    "place": "mailer.py:88 in send",
}


def record(**changes: Any) -> Record:
    """Return a record with these values in place of the usual ones."""
    return Record(**{**WHOLE, **changes})
