"""Virtual clock: time that passes only when a test lets it."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

START = 1_800_000_000.0
"""Where virtual time begins, in seconds since 1970: January 2027, the same in every run."""


class VirtualTimer:
    """A call that is due in virtual time."""

    __slots__ = ("callback", "due", "is_cancelled", "is_housekeeping")

    def __init__(self, due: float, callback: Callable[[], object], is_housekeeping: bool) -> None:
        self.due = due
        self.callback = callback
        self.is_housekeeping = is_housekeeping
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class VirtualClock:
    """A clock that a test moves; implements `eventbus.runtime.clock.Clock`."""

    def __init__(self) -> None:
        self._passed = 0.0
        self._timers: list[tuple[float, int, VirtualTimer]] = []
        self._sequence = count()

    def time(self) -> float:
        return START + self._passed

    def monotonic(self) -> float:
        return self._passed

    def call_later(self, seconds: float, callback: Callable[[], object], *, is_housekeeping: bool = False) -> VirtualTimer:
        timer = VirtualTimer(self._passed + max(seconds, 0.0), callback, is_housekeeping)
        heappush(self._timers, (timer.due, next(self._sequence), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass and run what is due meanwhile, each call at its own time."""
        self.advance_to(self._passed + seconds)

    def advance_to(self, until: float) -> None:
        """Go to a monotonic instant and run what is due meanwhile; one that is over counts as now."""
        while self._timers and self._timers[0][0] <= until:
            due, _, timer = heappop(self._timers)
            self._passed = max(self._passed, due)
            if not timer.is_cancelled:
                timer.callback()
        self._passed = max(self._passed, until)

    def next_due(self) -> float | None:
        """Return the monotonic instant of the next call that somebody waits for, or None."""
        waited_for = [due for due, _, timer in self._timers if not (timer.is_cancelled or timer.is_housekeeping)]
        return min(waited_for, default=None)

    def advance_to_next(self) -> bool:
        """Go to the next call that somebody waits for and run it; return False when there is none."""
        due = self.next_due()
        if due is None:
            return False
        self.advance_to(due)
        return True
