"""Circuit breaker: whether the deliveries of one channel flow. A state machine without clock or I/O.

Theory of operation. One failing event is the retry policy's business. When handlers fail many times in a row with no success
between, the fault is in what they all depend on, and every further delivery would only hammer it. Then the channel
pauses, lets one delivery through as a test, and goes on or pauses longer, as go-nsq does (nsq.io, "Building Client
Libraries", Backoff); that one starts at the first failure, which would let one bad event slow a healthy channel. The states
have their usual names (M. Nygard, "Release It!", Circuit Breaker).

Who fails counts, not how often. A retry that fails says nothing new about the channel, so events count by their first
failure alone. And one publisher's trouble stays his: where events of one source and type keep failing and those of another
succeed meanwhile, the fault is in the first ones, and they count no more until they succeed, or until so many of them failed
with no success of others between that the proof is stale.

A test that passes says that the alarm may have been false: with each of them twice as many failures are needed for the next
one, until the channel has worked for a while.

    state      event                               next state   what flow control does
    CLOSED     failure, fewer than `after` in row  CLOSED
    CLOSED     failure number `after` in a row     OPEN         hold all, start a timer of `pause()` seconds
    CLOSED     failure of a retry                  CLOSED       nothing: its event is counted
    CLOSED     success                             CLOSED       count from 0 again, and blame those that failed
    CLOSED     what it needs is known to be away   OPEN         hold all, for as long as who knows it says
    OPEN       timer                               HALF_OPEN    let one delivery through
    OPEN       any result of a delivery            OPEN         nothing: it started before the pause
    HALF_OPEN  success                             CLOSED       let all through
    HALF_OPEN  failure                             OPEN         hold all, a longer timer
    HALF_OPEN  what it needs is still away         OPEN         hold all again
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


Group = tuple[str, str]
"""Source and type of events."""
_STALE = 10
"""So many times `after` failures of a blamed group, with no success of others between, end the blame."""
_MOST_GROUPS = 256
_MOST_PATIENCE = 32
_WORKED = 50
"""Successes in a row after which a channel counts as working again."""


class CircuitBreaker:
    """The state of one channel; the caller owns timer and deliveries.

    Attributes:
        is_alert: whether a success means anything: only then need it be told.
    """

    __slots__ = ("_blamed", "_patience", "_streaks", "_worked", "is_alert", "level", "policy", "state")

    def __init__(self, policy: Backoff) -> None:
        self.policy = policy
        self.state = State.CLOSED
        self.is_alert = False
        self.level = 0
        self._patience = 1
        self._worked = 0
        self._streaks: dict[Group, int] = {}
        """First failures of events since the last success, by group."""
        self._blamed: dict[Group, int] = {}
        """Failures that a group may still have before its blame is stale."""

    @property
    def failures(self) -> int:
        """First failures of events in a row, of those that count."""
        return sum(self._streaks.values())

    def pause(self) -> float:
        """Return the length of the present pause in seconds."""
        return min(self.policy.first * 2.0 ** min(max(self.level - 1, 0), 64), self.policy.ceiling)

    def failed(self, group: Group, *, is_first: bool) -> bool:
        """Count a failure; return whether a pause begins now.

        Args:
            is_first: whether it is the first of its event.
        """
        if self.state is State.OPEN or not self.policy.after:
            return False
        self.is_alert = True
        if self.state is State.CLOSED:
            if not is_first or self._is_blamed(group):
                return False
            if group not in self._streaks and len(self._streaks) >= _MOST_GROUPS:
                group = ("", "")
            self._streaks[group] = self._streaks.get(group, 0) + 1
            self._worked = 0
            if self.failures < self.policy.after * self._patience:
                return False
        self.level += 1
        self.state = State.OPEN
        return True

    def _is_blamed(self, group: Group) -> bool:
        left = self._blamed.get(group)
        if left is None:
            return False
        if left > 0:
            self._blamed[group] = left - 1
            return True
        del self._blamed[group]
        return False

    def succeeded(self, group: Group) -> bool:
        """Count a success; return whether a test passed, so that all may flow again."""
        if self.state is State.OPEN:
            return False
        stale_after = _STALE * self.policy.after
        self._blamed.pop(group, None)
        for other in self._blamed:
            self._blamed[other] = stale_after
        for other, count in self._streaks.items():
            if other != group and 2 * count >= self.policy.after and len(self._blamed) < _MOST_GROUPS:
                self._blamed[other] = stale_after
        self._streaks.clear()
        self.level = 0
        passed = self.state is State.HALF_OPEN
        self.state = State.CLOSED
        self._worked += 1
        if passed:
            self._patience, self._worked = min(2 * self._patience, _MOST_PATIENCE), 0
        elif self._worked >= _WORKED:
            self._patience = 1
        self.is_alert = bool(self._blamed) or self._patience > 1
        return passed

    def trip(self) -> bool:
        """Pause because what the channel needs is known to be away; return whether a pause begins now."""
        if self.state is State.OPEN:
            return False
        self.is_alert = True
        self.state = State.OPEN
        return True

    def probe(self) -> None:
        """Take the end of the pause: one delivery may be tried."""
        if self.state is State.OPEN:
            self.state = State.HALF_OPEN
