"""Retry: how often a failed delivery comes again, and how long between. Arithmetic only, no clock and no I/O."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from eventbus.errors import ConfigurationError

ExceptionTypes = tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When a handler raises: again after an exponentially growing delay with full jitter, or at once to the dead letters.

    Attributes:
        attempts: deliveries in all, the first included; after the last one the delivery is parked.
        first: longest delay after the first attempt, in seconds.
        factor: how much longer the delay may be after each further attempt.
        ceiling: longest delay of all, in seconds.
        jitter: draw the delay evenly between 0 and its longest ("full jitter", AWS Architecture Blog, 2015), so that what
            failed together does not come back together. Off, the delay is its longest.
        reject: exception types for which trying again is useless: parked at once.
        only: where given, the only exception types that are tried again; all others are parked at once.
    """

    attempts: int = 8
    first: float = 1.0
    factor: float = 2.0
    ceiling: float = 300.0
    jitter: bool = True
    reject: ExceptionTypes = ()
    only: ExceptionTypes | None = None

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int) or not 1 <= self.attempts <= 65_000:
            raise ConfigurationError(f"Retry(attempts={self.attempts!r}): give a whole number from 1 to 65000")
        if not 0 <= self.first <= self.ceiling < float("inf"):
            raise ConfigurationError(
                f"Retry(first={self.first!r}, ceiling={self.ceiling!r}): give seconds with 0 <= first <= ceiling"
            )
        if not 1 <= self.factor < float("inf"):
            raise ConfigurationError(f"Retry(factor={self.factor!r}): give a number of 1 or more")
        for name, types in (("reject", self.reject), ("only", self.only or ())):
            if not isinstance(types, tuple) or not all(isinstance(t, type) and issubclass(t, BaseException) for t in types):
                raise ConfigurationError(f"Retry({name}={types!r}): give a tuple of exception classes")

    def retries(self, error: BaseException) -> bool:
        """Whether `error` is worth another attempt at all."""
        if isinstance(error, self.reject):
            return False
        return self.only is None or isinstance(error, self.only)

    def longest_delay(self, attempt: int) -> float:
        """Return the longest delay in seconds after attempt number `attempt` (1 for the first)."""
        if not self.first:
            return 0.0
        try:
            return min(self.first * self.factor ** (attempt - 1), self.ceiling)
        except OverflowError:  # 2.0 ** 1100
            return self.ceiling

    def delay(self, attempt: int, *, draw: Callable[[], float] = random.random) -> float:
        """Return the delay in seconds after attempt number `attempt`; `draw` returns a number in [0, 1)."""
        longest = self.longest_delay(attempt)
        return longest * draw() if self.jitter else longest
