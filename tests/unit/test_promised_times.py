"""Promises about time, to the moment, in virtual time: the suite of the engines checks only that nothing comes too early."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eventbus import Context, Event, Outcome, Retry, RetryLater, Service
from eventbus.engines.memory import MemoryOptions
from eventbus.testing import Harness


class Placed(Event, topic="placed"):
    number: int


class Shop:
    """A service that notes at which virtual second it handles, and fails as often as it is told."""

    def __init__(self, *, failures: int = 0, error: BaseException | None = None, max_delay: float = 3600.0) -> None:
        self.instants: list[float] = []
        self.attempts: list[int] = []
        self._failures = [error or ValueError("not yet")] * failures
        self.service = Service("shop")
        self.service.on(Placed, retry=Retry(first=0.2, factor=2.0, ceiling=0.4, jitter=False))(self._handle)
        self.harness = Harness(self.service, options=MemoryOptions(max_delay=max_delay))

    def _handle(self, event: Placed, context: Context) -> None:
        self.instants.append(self.harness.clock.monotonic())
        self.attempts.append(context.attempt)
        if self._failures:
            raise self._failures.pop()


def test_delays_grow_up_to_the_ceiling_and_no_longer() -> None:
    shop = Shop(failures=3)
    with shop.harness as harness, harness.expecting(ValueError):
        harness.publish(Placed(number=1))
        harness.settle()
    assert shop.instants == pytest.approx([0.0, 0.2, 0.6, 1.0])


@pytest.mark.parametrize("max_delay", [3600.0, 0.5])
def test_a_delayed_event_comes_at_its_time_also_beyond_the_engines_limit(max_delay: float) -> None:
    shop = Shop(max_delay=max_delay)
    with shop.harness as harness:
        harness.publish(Placed(number=1), delay=1.3)
        at = datetime.fromtimestamp(harness.clock.time(), UTC) + timedelta(seconds=2.4)
        harness.publish(Placed(number=2), deliver_at=at)
        harness.settle()
        assert shop.instants == pytest.approx([1.3, 2.4], abs=0.01)
        assert shop.attempts == [1, 1]
        # a hop for each time that the limit was too short, and not one more
        assert harness.outcomes(Outcome.EARLY) == (0 if max_delay > 2.4 else 2 + 4)


@pytest.mark.parametrize("max_delay", [3600.0, 0.5])
def test_what_is_postponed_comes_at_its_time_also_beyond_the_engines_limit(max_delay: float) -> None:
    shop = Shop(failures=1, error=RetryLater(after=1.2), max_delay=max_delay)
    with shop.harness as harness:
        harness.publish(Placed(number=1))
        harness.settle()
    assert shop.instants == pytest.approx([0.0, 1.2], abs=0.01)
    assert shop.attempts == [1, 2]
