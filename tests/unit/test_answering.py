"""What a worker meets while it answers: a log that cannot be written, and a kill."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
import pytest

from eventbus import Bus, Event, Retry, RetryLater, Service
from eventbus.engines.memory import MemoryEngine
from tests.unit.test_survival import RAISED, names
from tests.waiting import eventually


@pytest.mark.parametrize("make", RAISED, ids=names)
def test_a_log_that_cannot_be_written_ends_nothing(make: Callable[[], BaseException]) -> None:
    """What fails is retried and parked, and what comes after it is handled, though no line of it is told."""
    asked, seen = list[str](), list[int]()

    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            asked.append(record.name)
            raise make()

    class Thing(Event, topic="things"):
        number: int

    service = Service("svc")

    @service.on(Thing, concurrency=1, retry=Retry(attempts=2, first=0.0, ceiling=0.0))
    def handle(thing: Thing) -> None:
        if thing.number < 0:
            raise ValueError("cannot be handled")
        seen.append(thing.number)

    broken, ours = Broken(), logging.getLogger("eventbus")
    ours.addHandler(broken)
    try:
        with Bus("memory://") as bus:
            bus.start(service)
            for number in range(1, 6):
                bus.publish_all([Thing(number=-number), Thing(number=number)])
            eventually(lambda: {1, 2, 3, 4, 5} <= set(seen))
            eventually(lambda: bus.dead_letters(Thing, service).count() == 5)
    finally:
        ours.removeHandler(broken)
    assert "eventbus.outcome" in asked


def test_a_worker_that_is_killed_while_a_failure_is_answered_lets_its_killer_go() -> None:
    workers, seen, reached = list[Any](), list[int](), gevent.event.Event()

    class Thing(Event, topic="things"):
        number: int

    class Slow(MemoryEngine):
        def publish(self, topic: str, body: bytes, *, delay: float, timeout: float) -> None:
            if gevent.getcurrent() in workers and not reached.is_set():
                reached.set()
                gevent.sleep(30)
            super().publish(topic, body, delay=delay, timeout=timeout)

    service = Service("svc")

    @service.on(Thing, concurrency=1, retry=Retry(attempts=5))
    def handle(thing: Thing) -> None:
        if thing.number == 0:
            workers.append(gevent.getcurrent())
            raise RetryLater(after=100_000)
        seen.append(thing.number)

    with Bus(engine=Slow()) as bus:
        bus.start(service)
        bus.publish(Thing(number=0))
        eventually(reached.is_set)
        workers[0].kill(block=True, timeout=10.0)
        assert workers[0].dead
        bus.publish(Thing(number=1))
        eventually(lambda: seen == [1])
