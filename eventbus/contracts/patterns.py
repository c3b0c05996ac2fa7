"""Patterns: what a regular expression says of the length of the texts that have it, and which patterns say the same.

A pattern means what JSON Schema takes it for: it may match anywhere in a text, and `$` is the end, not what stands before a
last line feed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_parser: Any = re._parser  # the only reader of patterns that Python has
_LONGEST = 2**31


@lru_cache(maxsize=1024)
def lengths(pattern: str) -> tuple[int, int | None]:
    """Return how many characters a text with a pattern has at least and at most; None for no limit."""
    tree = _tree(pattern)
    if tree is None:
        return 0, None
    least, most = tree.getwidth()
    parts = list(tree)
    is_whole = len(parts) > 1 and _is_anchor(parts[0], "AT_BEGINNING") and _is_anchor(parts[-1], "AT_END")
    return min(least, _LONGEST), most if is_whole and most < _LONGEST else None


@lru_cache(maxsize=1024)
def meaning(pattern: str) -> str:
    """Return the same for patterns that are but written otherwise, as `.+` and `.{1,}`; nothing where all texts have it."""
    tree = _tree(pattern)
    if tree is None:
        return f"pattern {pattern}"
    if tree.getwidth()[0] == 0 and not re.search(r"\b(AT|ASSERT|ASSERT_NOT|GROUPREF|GROUPREF_EXISTS)\b", repr(tree)):
        return ""  # matches nothing of a text, at its beginning
    return repr(tree)


def _tree(pattern: str) -> Any | None:
    if re.search(r"\(\?[a-zA-Z-]*[aiLmsux]", pattern):
        return None  # flags change what the parts mean
    try:
        return _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError):
        return None


def _is_anchor(part: Any, name: str) -> bool:
    return str(part[0]) == "AT" and str(part[1]) in (name, f"{name}_STRING")
