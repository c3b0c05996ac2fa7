"""Backoff: when a whole channel keeps away from a broken dependency. `delivery/circuit_breaker.py` acts on it."""

from __future__ import annotations

from dataclasses import dataclass

from eventbus.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """When a channel backs off.

    Attributes:
        after: failures in a row, of any events, that open the pause; 0 turns backing off off.
        first: first pause in seconds; doubled after each failed test.
        ceiling: longest pause in seconds.
    """

    after: int = 20
    first: float = 1.0
    ceiling: float = 60.0

    def __post_init__(self) -> None:
        if self.after < 0 or not 0 < self.first <= self.ceiling < float("inf"):
            raise ConfigurationError(f"{self!r}: give after >= 0 and seconds with 0 < first <= ceiling")
