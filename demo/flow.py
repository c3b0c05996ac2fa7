"""Flow: watches the scenario as middleware, and makes handlers fail on request."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import Any

from eventbus import Context, Middleware, Outcome


class RandomFailureError(Exception):
    """Made up by `--fail-rate`."""


class Flow(Middleware):
    """Watches the flow, and makes handlers fail at random: half the time before they begin, half after they are done."""

    def __init__(self, fail_rate: float, seed: int) -> None:
        self.fail_rate = fail_rate
        self.handled: dict[str, Counter[str]] = {}
        self.outcomes: Counter[Outcome] = Counter()
        self.recent: deque[str] = deque(maxlen=8)
        self._random = Random(seed)

    def handle(self, event: Any, context: Context, proceed: Callable[[Any, Context], Any]) -> Any:
        fails = not context.topic.endswith(".receipts") and self._random.random() < self.fail_rate
        if fails and self._random.random() < 0.5:
            raise RandomFailureError("before the handler")
        result = proceed(event, context)
        if fails:
            raise RandomFailureError("after the handler")
        return result

    def settled(self, outcome: Outcome, context: Context, error: BaseException | None) -> None:
        if context.topic.endswith(".receipts"):
            return  # the outbox's own
        self.outcomes[outcome] += 1
        place = f"{context.topic}/{context.channel}"
        if outcome is Outcome.HANDLED:
            workers = self.handled.setdefault(place, Counter())
            workers[context.instance] += 1
            if workers[context.instance] > 3:
                return  # the table counts the rest; the lines show what kinds of things happen
        if outcome is not Outcome.SKIPPED:
            again = f", attempt {context.attempt}" if context.attempt > 1 else ""
            self.recent.append(f"{place:<33} {outcome.value:<7} {context.event_type} by {context.instance}{again}")
