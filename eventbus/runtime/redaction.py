"""Redaction: what goes to logs, terminals and dead letters, printable whatever it holds.

Every text that somebody else wrote (a sender, a broker, an exception) passes here before it reaches a terminal or a log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
"""What begins a line, steers a terminal, turns the direction of text or cannot be seen, and halves of characters."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_MOST = 500


def text_of(error: object) -> str:
    """Return the text of an exception or of anything else, as UTF-8 can hold it, also where asking for it fails."""
    try:
        return printable(str(error))
    except BaseException as fault:
        return f"(its text cannot be had: {type(fault).__name__})"


def printable(text: str) -> str:
    """Return `text` with halves of characters written out: a file name may hold some, and UTF-8 has no bytes for them."""
    return text if text.isascii() else _SURROGATE.sub(_written_out, text)


def one_line(text: object, *, most: int = _MOST) -> str:
    """Return `text` with its control characters written out, at most `most` characters of it."""
    shown = text if isinstance(text, str) else text_of(text)
    if len(shown) > most:
        shown = shown[:most] + "…"
    return _UNSAFE.sub(_written_out, shown)


def several(texts: Iterable[str], *, most: int = 5) -> str:
    """Return texts behind one another, at most `most` of them, and how many there are besides: a cluster has hundreds."""
    told = list(texts)
    more = len(told) - most
    return "; ".join(told[:most]) + (f"; and {more} more" if more > 0 else "")


def lines(text: object, *, most: int = 20_000) -> str:
    """Return `text` as `one_line` does, with its line ends and tabs as they are."""
    shown = text if isinstance(text, str) else text_of(text)
    if len(shown) > most:
        shown = shown[:most] + "…"
    return _UNSAFE.sub(lambda found: found.group() if found.group() in "\n\t" else _written_out(found), shown)


def as_json(tree: Any, *, indent: int | None = None) -> str:
    """Return `tree` as JSON in ASCII, for any terminal and any reader; bytes become hexadecimal, what is odd its text."""
    return json.dumps(_jsonable(tree), ensure_ascii=True, indent=indent, default=_written)


def _jsonable(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key if isinstance(key, str) else one_line(repr(key)): _jsonable(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_jsonable(value) for value in tree]
    return tree


def _written(value: object) -> str:
    return value.hex() if isinstance(value, bytes | bytearray | memoryview) else text_of(value)


def _written_out(found: re.Match[str]) -> str:
    return repr(found.group())[1:-1]
