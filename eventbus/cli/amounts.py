"""Amounts as people write them in options: spans of time and sizes."""

from __future__ import annotations

import re

from eventbus.errors import ConfigurationError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)([smhdw])", re.ASCII)
_SIZE = re.compile(r"(\d{1,15})([kmgt]?)(?:i?b)?", re.IGNORECASE | re.ASCII)


def read_span(text: str, option: str) -> float:
    """Return the seconds of `90s`, `15m`, `12h`, `7d` or `4w`.

    Raises:
        ConfigurationError: it is none above 0; names the option.
    """
    found = _SPAN.fullmatch(text.strip())
    if found is None or float(found[1]) == 0:
        raise ConfigurationError(f"{option} {text}: write a number and s, m, h, d or w, such as 12h or 7d")
    return float(found[1]) * _SECONDS[found[2]]


def read_size(text: str, option: str) -> int:
    """Return the bytes of `500000`, `512M` or `20G`, each letter 1,024 times the one before.

    Raises:
        ConfigurationError: it is none above 0; names the option.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None or int(found[1]) == 0:
        raise ConfigurationError(f"{option} {text}: write a number of bytes, or one with K, M, G or T, such as 512M or 20G")
    return int(found[1]) * _BYTES[found[2].lower()]
