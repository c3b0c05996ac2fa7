"""Matching: whether a text has the form of a contract's pattern, in time that grows with the text and no faster.

Contracts come from others, and one pattern such as `(a+)+$` holds up Python's own matcher for ever. Patterns are matched by
the engine of pydantic's fields, Rust's `regex`: owners' classes use it too. What it cannot do (looking around, going back to
a group) falls to Python's, for owners who chose that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from pydantic_core import SchemaError, SchemaValidator, core_schema


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern is found anywhere in a text, as JSON Schema means it.

    Raises:
        re.error: it is no pattern.
    """
    return _matcher(pattern)(text)


@lru_cache(maxsize=1024)
def _matcher(pattern: str) -> Callable[[str], bool]:
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")).isinstance_python
    except SchemaError:
        compiled = re.compile(pattern)
        return lambda text: compiled.search(text) is not None
