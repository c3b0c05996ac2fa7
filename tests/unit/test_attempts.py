"""Attempts on an engine that counts deliveries, as nsqd does: deaths count, and what nobody began does not."""

from __future__ import annotations

import json
from typing import Any

import gevent

from eventbus import Bus, Context, Event, Retry, Service
from eventbus.engines.memory import MemoryEngine
from eventbus.engines.memory_channel import MemoryDelivery
from tests.waiting import eventually


class Thing(Event, topic="t"):
    number: int


class Counting(MemoryEngine):
    """Counts deliveries, and can hand one over as if it had been delivered before."""

    counts_runs = False
    delivered = 0

    def put(self, number: int, delivered: int, **attributes: Any) -> None:
        tree = {"specversion": "1.0", "id": f"id-{number}", "source": "s", "type": "Thing", "data": {"number": number}}
        self.delivered = delivered
        self.publish("t", json.dumps({**tree, **attributes}).encode(), delay=0.0, timeout=5.0)
        self.delivered = 0

    def _put_in_channel(self, channel: Any, body: bytes, accepted: float, due: float) -> None:
        channel.put(MemoryDelivery(next(self._ids), body, accepted, channel, self.delivered), due)


def _service(runs: list[tuple[int, int]], *, fails: bool = False) -> Service:
    service = Service("svc")

    @service.on(Thing, retry=Retry(attempts=3, first=0.0, ceiling=0.0))
    def handle(thing: Thing, context: Context) -> None:
        runs.append((thing.number, context.attempt))
        if fails:
            raise ValueError("no")

    return service


def test_an_event_whose_count_nobody_saw_grow_is_run_before_it_is_parked() -> None:
    runs: list[tuple[int, int]] = []
    engine = Counting()
    with Bus(engine=engine) as bus:
        bus.start(_service(runs))
        engine.put(1, delivered=2)  # comes as the third delivery: two deaths, or two lost connections
        engine.put(2, delivered=7)
        eventually(lambda: sorted(runs) == [(1, 3), (2, 3)])
        assert bus.dead_letters("t", "svc").count() == 0


def test_a_copy_that_was_made_for_the_last_run_has_one_more_chance_and_is_then_parked_unrun() -> None:
    runs: list[tuple[int, int]] = []
    engine = Counting()
    with Bus(engine=engine) as bus:
        bus.start(_service(runs))
        engine.put(1, delivered=1, replayfor="svc", priorattempts=2)
        eventually(lambda: runs == [(1, 4)])
        engine.put(2, delivered=1, replayfor="svc", priorattempts=3)
        letters = bus.dead_letters("t", "svc")
        eventually(lambda: letters.count() == 1)
        (letter,) = letters.list()
        assert letter.reason.startswith("attempts used up: 3, and the last run did not end")
        assert runs == [(1, 4)]


def test_failures_that_this_process_saw_need_no_copy() -> None:
    runs: list[tuple[int, int]] = []
    engine = Counting()
    with Bus(engine=engine) as bus:
        bus.start(_service(runs, fails=True))
        engine.put(1, delivered=0)
        eventually(lambda: bus.dead_letters("t", "svc").count() == 1)
        assert runs == [(1, 1), (1, 2), (1, 3)]
        assert engine.stats()["t"].messages == 1, "nothing was copied"


def test_what_a_stop_gives_back_is_copied_with_its_attempts_where_the_engine_counts_deliveries() -> None:
    runs: list[tuple[int, int]] = []
    engine = Counting()
    free = gevent.event.Event()
    service = Service("svc")

    @service.on(Thing, concurrency=1)
    def wait(thing: Thing) -> None:
        free.wait(30)

    class Kept:
        """The engine without its end, for the bus that comes after."""

        def __getattr__(self, name: str) -> Any:
            return getattr(engine, name)

        def close(self) -> None:
            pass

    kept: Any = Kept()
    bus = Bus(engine=kept)
    bus.start(service)
    for number in range(6):
        engine.put(number, delivered=0)
    eventually(lambda: bus.dispatchers[0].is_busy)
    gevent.spawn_later(0.05, free.set)
    report = bus.stop(grace=20.0)
    assert report.returned >= 1
    with Bus(engine=engine) as after:
        after.start(_service(runs))
        eventually(lambda: sorted(runs) == [(number, 1) for number in range(1, 6)])


def test_what_the_engine_took_back_before_anybody_began_it_costs_no_attempt() -> None:
    runs: list[tuple[int, int]] = []
    engine = MemoryEngine()
    with Bus(engine=engine) as bus:
        bus.start(_service(runs))
        dispatcher = bus.dispatchers[0]
        dispatcher.flow.hold(3600.0)  # they wait here, and are not begun
        channel = engine._topics["t"].channels["svc"]
        (subscription,) = channel.subscriptions
        subscription.set_max_in_flight(100)
        bus.publish(Thing(number=1))
        for _ in range(5):  # as when connections are lost, or the message timeout is up
            (lost,) = subscription.held.values()
            lost.requeue()
            dispatcher.tick(0.0)
        dispatcher.flow._probe()
        eventually(lambda: runs == [(1, 1)])


def test_a_test_delivery_that_was_taken_back_meanwhile_does_not_end_the_tests() -> None:
    runs: list[tuple[int, int]] = []
    engine = MemoryEngine()
    with Bus(engine=engine) as bus:
        bus.start(_service(runs))
        dispatcher = bus.dispatchers[0]
        dispatcher.flow.hold(3600.0)
        dispatcher.flow._probe()
        (subscription,) = engine._topics["t"].channels["svc"].subscriptions
        dispatcher.flow._limit(0)
        lost = MemoryDelivery(99, b"lost", 0.0, engine._topics["t"].channels["svc"])
        dispatcher.workers.queue.append(lost)
        subscription.set_max_in_flight(100)
        bus.publish(Thing(number=2))
        eventually(lambda: runs == [(2, 1)])
