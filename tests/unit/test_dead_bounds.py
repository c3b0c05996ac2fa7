"""Dead letters have bounds: in number, bytes, age, and for what is no event."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from eventbus import Bus, Event, Outcome, Reject, Service
from eventbus.dead_letters import parking
from eventbus.dead_letters.bounds import SAMPLE, DeadLetterBounds, MaxDead
from eventbus.engines.memory import MemoryEngine, MemoryOptions
from eventbus.settings import BusSettings
from eventbus.testing import Harness
from tests.waiting import eventually


class Thing(Event, topic="t"):
    number: int


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_past_its_bounds_a_channel_keeps_samples_and_counts_the_rest() -> None:
    service = Service("svc")
    service.on(Thing)(lambda thing: None)
    with Bus("memory://", settings=BusSettings(max_dead=10, max_dead_unreadable=10**9)) as bus:
        bus.start(service)
        for number in range(10 + 2 * SAMPLE):
            bus.engine.publish("t", b"\x00%d" % number, delay=0.0, timeout=5.0)
        counts = bus.dispatchers[0].counts
        eventually(lambda: sum(counts.values()) == 10 + 2 * SAMPLE)
        assert bus.dead_letters("t", "svc").count() == 12
        assert {outcome.value: count for outcome, count in counts.items()} == {"parked": 12, "dropped": 2 * SAMPLE - 2}


def test_letters_that_come_one_after_the_other_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch costs the good events beside it as much as a letter does: many small ones would hold them up."""
    monkeypatch.setattr(parking, "_LINGER", 0.5)
    batches: list[int] = []

    class Counting(MemoryEngine):
        def publish_many(self, topic: str, bodies: Any, *, timeout: float) -> None:
            batches.append(len(bodies))
            super().publish_many(topic, bodies, timeout=timeout)

    service = Service("svc")
    service.on(Thing)(lambda thing: None)
    with Bus(engine=Counting(MemoryOptions())) as bus:
        bus.start(service)
        for number in range(50):
            bus.engine.publish("t", b"\x00%d" % number, delay=0.0, timeout=5.0)
            gevent.sleep(0)
        eventually(lambda: bus.dead_letters("t", "svc").count() == 50)
    assert sum(batches) >= 40
    assert len(batches) <= 10


def test_letters_past_their_age_go_except_for_samples() -> None:
    service = Service("svc")

    @service.on(Thing)
    def handle(thing: Thing) -> None:
        raise Reject("no")

    day = 86400.0
    with Harness(settings=BusSettings(max_dead_age=10 * day)) as harness:
        harness.start(service)
        count = 20 * SAMPLE  # ids are drawn: with so many, one run in 500 million keeps no sample
        harness.bus.publish_all([Thing(number=number) for number in range(count)])
        harness.settle()
        harness.advance(9 * day)
        letters = harness.bus.dead_letters("t", "svc")
        assert letters.count() == count
        harness.bus.publish(Thing(number=-1))
        harness.settle()
        harness.advance(2 * day)
        eventually(lambda: harness.bus.dispatchers[0].counts[Outcome.DROPPED] > 0)
        left = letters.list()
        assert 1 < len(left) < count / 10, "samples, and the one that is young"
        assert harness.bus.dispatchers[0].counts[Outcome.DROPPED] == count + 1 - len(left)


def test_bytes_that_are_no_event_have_a_bound_of_their_own_in_each_hour() -> None:
    now = [0.0]
    bounds = DeadLetterBounds(MaxDead(count=1000, size=10**9, unreadable=1000), lambda: 0, lambda: now[0], "t/svc")
    kept = [bounds.admits(100, is_event=False) for _ in range(50)]
    assert kept == [True] * 11 + [False] * 39, "the first one past the bound is a sample"
    assert bounds.admits(100, is_event=True)
    now[0] = 3601.0
    assert bounds.admits(100, is_event=False)
