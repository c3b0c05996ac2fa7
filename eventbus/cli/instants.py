"""Instants as people write them in options."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from eventbus.errors import ConfigurationError

_AGO = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def read_instant(text: str, option: str) -> datetime:
    """Return the instant of `15m`, `2h` or `3d` ago, or of `2026-01-31T12:00:00Z`.

    Raises:
        ConfigurationError: it is none; names the option.
    """
    ago = _AGO.fullmatch(text)
    if ago is not None:
        try:
            return datetime.now(UTC) - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{option} {text}: write 15m, 2h, 3d, or an instant as 2026-01-31T12:00:00Z") from None
    return instant if instant.tzinfo is not None else instant.astimezone()
