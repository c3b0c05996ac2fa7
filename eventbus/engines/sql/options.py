"""Options of the SQL engine: from the query of its URL."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "": 1.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w|)")
WEEK = 7 * 86400.0


def _span(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value in ("forever", "inf"):
        return math.inf
    match = _SPAN.fullmatch(value.strip())
    if match is None:
        raise ValueError("give a number of seconds, or one with ms, s, m, h, d or w behind it, such as 7d")
    return float(match[1]) * _UNITS[match[2]]


Span = Annotated[float, BeforeValidator(_span)]


class SqlOptions(BaseModel):
    """Each field is an option of a `sqlite://` or `postgresql://` bus URL."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    retain: Span = Field(default=WEEK, ge=0)
    """How long the log keeps what all channels have finished: `7d`, `12h`, `0` for not at all, `forever`."""
    poll: Span | None = Field(default=None, ge=0.001, le=60)
    """Seconds between two looks for what other processes did, where nothing tells of it; on SQLite 10 ms then."""
    synchronous: Literal["full", "normal"] = "full"
    """On SQLite: whether a confirmed publish outlives a power cut, or only the death of processes."""
    max_message_bytes: int = Field(default=1024 * 1024, ge=1024, le=256 * 1024 * 1024)
    """Longest body in bytes."""
    max_delay: float = Field(default=math.inf, gt=0)
    """Longest delay in seconds that the engine holds by itself: any, unless a test wants it shorter."""


class PostgresOptions(SqlOptions):
    """Those of PostgreSQL alone."""

    schema_: str | None = Field(default=None, alias="schema", min_length=1, max_length=63)
    """PostgreSQL's schema for the tables; made where it is missing."""
