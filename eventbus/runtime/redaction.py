"""Redaction: what goes to logs, on one line whatever it holds, and without the data of events, which may be personal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters that begin a line or steer a terminal, separators of lines, marks that turn the direction of text."""
_SHORTEST = 3
"""Characters that a text of an event must have to be cut out: shorter ones say nothing and would cut everywhere."""
_MOST_VALUES = 10_000
_MOST = 500
CUT = "[…]"


def one_line(text: object, *, most: int = _MOST) -> str:
    """Return `text` with its control characters written out, at most `most` characters of it."""
    shown = str(text)
    if len(shown) > most:
        shown = shown[:most] + "…"
    return _UNSAFE.sub(lambda found: repr(found.group())[1:-1], shown)


def without_data(text: str, data: Any) -> str:
    """Return `text` without the texts and numbers of `data`, the JSON tree of an event."""
    found = {value for value in islice(_leaves(data), _MOST_VALUES) if len(value) >= _SHORTEST and value in text}
    for value in sorted(found, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", CUT, text)
    return text


def _leaves(data: Any) -> Iterator[str]:
    stack = [data]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, list | tuple):
            stack.extend(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield str(value)
