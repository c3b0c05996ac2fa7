"""Identity and time on the wire: UUIDv7 text and RFC 3339 instants.

Both are written by hand because they are made once for each event on the way of a publish: `uuid.UUID` and
`datetime.isoformat` cost three times as much, and the standard library has no UUIDv7 before Python 3.14.
"""

from __future__ import annotations

import time
from datetime import datetime

from eventbus.errors import DecodeError
from eventbus.runtime.randomness import SYSTEM, Randomness

_stamp = (-1, "")
"""The last millisecond and its text, which many ids share; one value, so that threads never mix two."""
LAST_INSTANT = 253_402_300_800.0
"""Seconds from 1970 to the end of the year 9999: an instant on the wire lies between."""


def new_id(now: float | None = None, randomness: Randomness = SYSTEM) -> str:
    """Return a new UUIDv7 (RFC 9562, section 5.7) as text, its first 48 bits the time `now` in seconds."""
    global _stamp
    milliseconds = int((time.time() if now is None else now) * 1000)
    last, prefix = _stamp
    if milliseconds != last:
        text = f"{milliseconds:012x}"
        prefix = f"{text[:8]}-{text[8:]}-7"
        _stamp = (milliseconds, prefix)
    return prefix + randomness.tail()


class InstantWriter:
    """Writes instants as RFC 3339 text in UTC; remembers the last second, since most events share it."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = (-1, "")  # one value, so that threads never see the second of one and the text of another

    def write(self, instant: float) -> str:
        """Return `instant` (seconds since 1970) as `2026-01-31T12:00:00.000000Z`."""
        second = int(instant)
        last, prefix = self._last
        if second != last:
            prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._last = (second, prefix)
        return f"{prefix}.{int((instant - second) * 1_000_000):06d}Z"


def parse_instant(text: str, *, attribute: str) -> float:
    """Return the instant that RFC 3339 `text` names, in seconds since 1970.

    Raises:
        DecodeError: when it is no instant, has no zone, or lies outside the years 1970 to 9999.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise DecodeError(f"attribute {attribute} is no RFC 3339 instant") from None
    if instant.tzinfo is None:
        raise DecodeError(f"attribute {attribute} has no time zone")
    return check_range(instant, attribute=attribute)


def check_range(instant: datetime, *, attribute: str) -> float:
    """Return an aware instant in seconds since 1970.

    Raises:
        DecodeError: when it lies outside the years 1970 to 9999.
    """
    seconds = instant.timestamp()  # by difference, so that no offset leads past the years that a datetime has
    if not 0.0 <= seconds < LAST_INSTANT:
        raise DecodeError(f"attribute {attribute} lies outside the years 1970 to 9999")
    return seconds


def parse_time(text: str) -> datetime | None:
    """Return the instant that RFC 3339 `text` names, as an aware datetime; None where it names none."""
    try:
        instant = datetime.fromisoformat(text.upper())  # RFC 3339 has small letters too
    except ValueError:
        return None
    return instant if instant.tzinfo is not None else None
