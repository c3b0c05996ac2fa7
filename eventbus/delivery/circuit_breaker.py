"""Circuit breaker: whether the deliveries of one channel flow. A state machine without clock or I/O.

Theory of operation. One failing event is the retry policy's business. When handlers fail many times in a row with no success
between, the fault is in what they all depend on, and every further delivery would only hammer it. Then the channel
pauses, lets one delivery through as a test, and goes on or pauses longer, as go-nsq does (nsq.io, "Building Client
Libraries", Backoff); that one starts at the first failure, which would let one bad event slow a healthy channel. The states
have their usual names (M. Nygard, "Release It!", Circuit Breaker).

    state      event                               next state   what flow control does
    CLOSED     failure, fewer than `after` in row  CLOSED
    CLOSED     failure number `after` in a row     OPEN         hold all, start a timer of `pause()` seconds
    CLOSED     success                             CLOSED       count from 0 again
    OPEN       timer                               HALF_OPEN    let one delivery through
    OPEN       any result of a delivery            OPEN         nothing: it started before the pause
    HALF_OPEN  success                             CLOSED       let all through
    HALF_OPEN  failure                             OPEN         hold all, a longer timer
    HALF_OPEN  neither (rejected, retry later)     HALF_OPEN    let the next one through
"""

from __future__ import annotations

from enum import Enum

from eventbus.backoff import Backoff


class State(Enum):
    """Whether deliveries flow, are held, or are tried one at a time."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half open"


class CircuitBreaker:
    """The state of one channel; the caller owns timer and deliveries."""

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
        passed = self.state is State.HALF_OPEN
        self.state = State.CLOSED
        return passed

    def probe(self) -> None:
        """Take the end of the pause: one delivery may be tried."""
        if self.state is State.OPEN:
            self.state = State.HALF_OPEN
