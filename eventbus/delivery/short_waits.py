"""Short waits: deliveries that wait in hand, while the engine is known to keep short delays badly.

nsqd looks for new channels every few seconds, and until then no delay of theirs ends. So what is to come again within that
time stays here: in flight, touched, and given back by a stop. What waits takes nobody's place, up to a quarter of what may
be held at all; the rest waits in the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from eventbus.engines.base import Delivery, Subscription


class ShortWaits:
    """What waits in hand for one dispatcher.

    Args:
        subscription: returns that of the dispatcher, which knows until when the engine keeps delays badly.
        resume: takes a delivery that was early and is due now.
        most: deliveries that may be held at all.
    """

    __slots__ = ("_most", "_resume", "_subscription", "_waiting")

    def __init__(
        self, subscription: Callable[[], Subscription | None], resume: Callable[[Delivery], None], most: int
    ) -> None:
        self._subscription = subscription
        self._resume = resume
        self._most = most // 4
        self._waiting: list[tuple[float, bool, Delivery]] = []

    def take(self, delivery: Delivery, seconds: float, *, is_run: bool) -> bool:
        """Take a delivery over for `seconds`, if it waits better here than in the engine.

        Args:
            is_run: whether a run of it ended, which counts as an attempt.
        """
        subscription = self._subscription()
        if subscription is None or len(self._waiting) >= self._most or not delivery.is_held:
            return False
        now = monotonic()
        if not 0 < seconds < subscription.exact_from - now:
            return False
        self._waiting.append((now + seconds, is_run, delivery))
        return True

    def held(self) -> list[Delivery]:
        """Return what waits."""
        return [delivery for _, _, delivery in self._waiting]

    def tick(self, now: float) -> None:
        """Let go what is due; `now` is monotonic time in seconds."""
        if self._waiting:
            due = [each for each in self._waiting if each[0] <= now]
            self._waiting = [each for each in self._waiting if each[0] > now]
            for _, is_run, delivery in due:
                if is_run:
                    delivery.requeue()
                else:
                    self._resume(delivery)

    def leave(self) -> list[Delivery]:
        """Wait no more: put back what ran for the rest of its time, and return what was early."""
        waiting, self._waiting = self._waiting, []
        now = monotonic()
        for due, is_run, delivery in waiting:
            if is_run:
                delivery.requeue(max(due - now, 0.0))
        return [delivery for _, is_run, delivery in waiting if not is_run]
