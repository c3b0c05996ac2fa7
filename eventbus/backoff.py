"""Backoff: how a whole channel keeps away from a broken dependency. A state machine without clock or I/O.

Theory of operation. One failing event is the retry policy's business. When handlers fail many times in a row with no success
between, the fault is in what they all depend on, and every further delivery would only hammer it. Then the channel
pauses, lets one delivery through as a test, and goes on or pauses longer, as go-nsq does (nsq.io, "Building Client
Libraries", Backoff); that one starts at the first failure, which would let one bad event slow a healthy channel.

    state     event                               next state   what the dispatcher does
    CLOSED    failure, fewer than `after` in row  CLOSED
    CLOSED    failure number `after` in a row     OPEN         hold all, start a timer of `pause()` seconds
    CLOSED    success                             CLOSED       count from 0 again
    OPEN      timer                               PROBING      let one delivery through
    OPEN      any result of a delivery            OPEN         nothing: it started before the pause
    PROBING   success                             CLOSED       let all through
    PROBING   failure                             OPEN         hold all, a longer timer
    PROBING   neither (rejected, retry later)     PROBING      let the next one through
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from eventbus.errors import ConfigurationError


class State(Enum):
    """Whether deliveries flow, are held, or are tried one at a time."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


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


class BackoffState:
    """The state of one channel's backoff; the caller owns timer and deliveries."""

    __slots__ = ("failures", "level", "policy", "state")

    def __init__(self, policy: Backoff) -> None:
        self.policy = policy
        self.state = State.CLOSED
        self.failures = 0
        self.level = 0

    def pause(self) -> float:
        """Return the length of the present pause in seconds."""
        return min(self.policy.first * 2.0 ** min(self.level - 1, 64), self.policy.ceiling)

    def failed(self) -> bool:
        """Count a failure; return whether a pause begins now."""
        if self.state is State.OPEN:
            return False
        if self.state is State.CLOSED:
            self.failures += 1
            if not self.policy.after or self.failures < self.policy.after:
                return False
        self.level += 1
        self.state = State.OPEN
        return True

    def succeeded(self) -> bool:
        """Count a success; return whether a test passed, so that all may flow again."""
        if self.state is State.OPEN:
            return False
        self.failures = 0
        self.level = 0
        passed = self.state is State.PROBING
        self.state = State.CLOSED
        return passed

    def probe(self) -> None:
        """Take the end of the pause: one delivery may be tried."""
        if self.state is State.OPEN:
            self.state = State.PROBING
