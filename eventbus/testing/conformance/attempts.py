"""What counts as an attempt: runs that began, and nothing else."""

from __future__ import annotations

from functools import partial
from operator import contains

import gevent

from eventbus import Batch, Reject, Retry, Service
from eventbus.testing.conformance.kit import Seen, listener, numbered, numbers_of, publish_numbers, unique
from eventbus.testing.conformance.waiting import eventually, stays
from eventbus.testing.conformance.worlds import World


def test_what_stops_give_back_costs_no_attempt(world: World) -> None:
    kind, name, free = numbered(), unique("s"), gevent.event.Event()
    first: list[int] = []

    def hold(event: object, context: object) -> None:
        first.append(event.number)  # type: ignore[attr-defined]
        free.wait(30)

    with world.bus() as bus:
        bus.declare(listener(kind, Seen(), name=name))
        publish_numbers(bus, kind, range(8))
    for _ in range(3):
        free.clear()
        first.clear()
        bus = world.bus()
        bus.start(listener(kind, Seen(), name=name, act=hold, concurrency=1))
        eventually(lambda: first)
        subscription = bus.dispatchers[0].subscription
        assert subscription is not None
        eventually(lambda: subscription.in_flight >= 2)  # noqa: B023
        gevent.spawn_later(0.2, free.set)
        bus.stop(grace=20.0)
    seen = Seen()
    with world.bus() as bus:
        bus.start(listener(kind, seen, name=name))
        eventually(lambda: bus.dispatchers[0].handled >= 1)
        stays(lambda: set(seen.attempts) == {1}, 0.5, "an event that nobody had begun came as its first attempt")


def test_a_reject_in_a_batch_parks_one_event_and_the_others_are_handled(world: World) -> None:
    kind = numbered()
    good: list[int] = []
    service = Service(unique("s"))

    @service.on(kind, batch=Batch(size=10, wait=0.1), retry=Retry(attempts=1))
    def handle(events: list[kind]) -> None:  # type: ignore[valid-type]
        if 3 in numbers_of(events):
            raise Reject("three")
        good.extend(numbers_of(events))

    with world.bus() as bus:
        bus.start(service)
        publish_numbers(bus, kind, range(10))
        eventually(lambda: sorted(good) == [number for number in range(10) if number != 3])
        letters = bus.dead_letters(kind, service)
        eventually(lambda: letters.count() == 1)
        assert [letter.envelope().data["number"] for letter in letters.list()] == [3]


def test_used_up_attempts_and_types_to_reject_park_one_event_of_a_batch(world: World) -> None:
    kind = numbered()
    good: list[int] = []
    service = Service(unique("s"))

    @service.on(kind, batch=Batch(size=20, wait=0.2), retry=Retry(attempts=1, reject=(KeyError,)))
    def handle(events: list[kind]) -> None:  # type: ignore[valid-type]
        for number in numbers_of(events):
            if number == 3:
                raise KeyError("three")
            if number == 5:
                raise ValueError("five")
        good.extend(numbers_of(events))

    with world.bus() as bus:
        bus.start(service)
        publish_numbers(bus, kind, range(20))
        letters = bus.dead_letters(kind, service)
        eventually(lambda: letters.count() == 2)
        eventually(lambda: sorted(good) == [number for number in range(20) if number not in (3, 5)])
        assert bus.dispatchers[0].flow.is_flowing


def test_many_events_that_always_fail_hold_up_no_good_one(world: World) -> None:
    kind, seen = numbered(), Seen()

    def act(event: object, context: object) -> None:
        if event.number < 0:  # type: ignore[attr-defined]
            raise ValueError("always")

    service = listener(kind, seen, act=act, retry=Retry(attempts=5, first=0.5, ceiling=2.0))
    with world.bus() as bus:
        bus.start(service)
        publish_numbers(bus, kind, [-1 - number for number in range(200)])
        for number in range(10):
            publish_numbers(bus, kind, [number])
            eventually(partial(contains, seen.numbers, number), timeout=60)
