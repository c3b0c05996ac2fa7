"""What becomes of a delivery whose handler does not simply return."""

from __future__ import annotations

import sys

import gevent
import gevent.event
import pytest

from eventbus import Backoff, Batch, Outcome, Retry, RetryLater, Service
from eventbus.delivery.circuit_breaker import State
from eventbus.testing.conformance.kit import Seen, listener, numbered, numbers_of, publish_numbers, unique
from eventbus.testing.conformance.waiting import PATIENCE, eventually, stays
from eventbus.testing.conformance.worlds import World

AT_ONCE = Retry(first=0.0, ceiling=0.0)


class Boom(Exception):
    pass


class Database:
    """What all handlers of a channel depend on; down at first."""

    def __init__(self) -> None:
        self.is_down = True

    def use(self, event: object, context: object) -> None:
        if self.is_down:
            raise Boom("the database is down")


def fail_until(attempt: int, error: type[BaseException] = Boom):  # type: ignore[no-untyped-def]
    def act(event: object, context: object) -> None:
        if context.attempt < attempt:  # type: ignore[attr-defined]
            raise error("not yet")

    return act


def test_a_failed_delivery_comes_again_until_it_succeeds(world: World) -> None:
    kind, seen = numbered(), Seen()
    with world.bus() as bus:
        bus.start(listener(kind, seen, act=fail_until(3), retry=AT_ONCE))
        bus.publish(kind(number=7))
        eventually(lambda: seen.attempts == [1, 2, 3])
        stays(lambda: len(seen) == 3, 0.2)


def test_delays_grow_up_to_the_ceiling(world: World) -> None:
    kind, seen = numbered(), Seen()
    policy = Retry(first=0.2, factor=2.0, ceiling=0.4, jitter=False)
    with world.bus() as bus:
        bus.start(listener(kind, seen, act=fail_until(4), retry=policy))
        bus.publish(kind(number=1))
        eventually(lambda: len(seen) == 4)
    gaps = [after - before for before, after in zip(seen.times, seen.times[1:], strict=False)]
    for gap, wanted in zip(gaps, (0.2, 0.4, 0.4), strict=True):
        assert gap >= wanted - 0.02, gaps  # how much later says something of the engine; see test_promised_times


def test_rules_for_exceptions_decide_between_retry_and_reject(world: World) -> None:
    kind, seen = numbered(), Seen()

    def act(event: object, context: object) -> None:
        raise (KeyError if event.number == 1 else Boom)("x")  # type: ignore[attr-defined]

    service = listener(kind, seen, act=act, retry=Retry(attempts=2, first=0.0, ceiling=0.0, reject=(LookupError,)))
    with world.bus() as bus:
        bus.start(service)
        publish_numbers(bus, kind, [1, 2])
        letters = bus.dead_letters(kind, service)
        eventually(lambda: len(letters.list()) == 2)
        assert sorted(seen.numbers) == [1, 2, 2]


def test_retry_later_comes_again_after_its_time_and_counts(world: World) -> None:
    kind, seen = numbered(), Seen()

    def act(event: object, context: object) -> None:
        if context.attempt == 1:  # type: ignore[attr-defined]
            raise RetryLater(after=0.3)

    with world.bus() as bus:
        bus.start(listener(kind, seen, act=act))
        bus.publish(kind(number=1))
        eventually(lambda: seen.attempts == [1, 2])
        assert seen.times[1] - seen.times[0] >= 0.28
        assert bus.dispatchers[0].counts[Outcome.POSTPONED] == 1


def test_retry_later_beyond_the_engines_limit_keeps_its_time_and_its_attempts(world: World) -> None:
    kind, seen, other = numbered(), Seen(), Seen()

    def act(event: object, context: object) -> None:
        if context.attempt == 1:  # type: ignore[attr-defined]
            raise RetryLater(after=1.2)

    with world.bus(max_delay=0.5) as bus:
        bus.start(listener(kind, seen, act=act), listener(kind, other))
        bus.publish(kind(number=1))
        eventually(lambda: seen.attempts == [1, 2])
        assert seen.times[1] - seen.times[0] >= 1.15
        assert len(other) == 1, "another channel handled what was postponed for one"


@pytest.mark.parametrize("error", [gevent.GreenletExit, SystemExit, KeyboardInterrupt])
def test_a_handler_that_raises_no_exception_but_worse_loses_nothing(world: World, error: type[BaseException]) -> None:
    kind, seen = numbered(), Seen()
    with world.bus() as bus:
        bus.start(listener(kind, seen, act=fail_until(2, error), retry=AT_ONCE, concurrency=1))
        publish_numbers(bus, kind, [1, 2])
        eventually(lambda: sorted(seen.numbers) == [1, 1, 2, 2])


def test_a_slow_handler_is_touched_and_not_delivered_twice(world: World) -> None:
    kind, seen = numbered(), Seen()
    done: list[object] = []

    def act(event: object, context: object) -> None:
        gevent.sleep(2.6 * message_timeout)
        done.append(event)

    message_timeout = 8.0  # a machine that gives nothing for half of it is too busy to touch in time
    with world.bus(message_timeout=message_timeout) as bus:
        bus.start(listener(kind, seen, act=act, timeout=PATIENCE))
        bus.publish(kind(number=1))
        eventually(lambda: done)
        stays(lambda: len(seen) == 1, 0.5)


def test_a_handler_beyond_its_time_limit_is_interrupted_and_counts_as_failed(world: World) -> None:
    kind, seen, interrupted = numbered(), Seen(), []

    def act(event: object, context: object) -> None:
        if context.attempt == 1:  # type: ignore[attr-defined]
            try:
                gevent.event.Event().wait()  # for ever
            except BaseException:
                interrupted.append(sys.exc_info()[0])
                raise

    with world.bus() as bus:
        bus.start(listener(kind, seen, act=act, timeout=0.2, retry=AT_ONCE))
        bus.publish(kind(number=1))
        eventually(lambda: seen.attempts == [1, 2])
        assert len(interrupted) == 1
        assert seen.times[1] - seen.times[0] >= 0.15


def test_a_channel_whose_handlers_keep_failing_backs_off_and_recovers(world: World) -> None:
    kind, seen = numbered(), Seen()
    database = Database()
    service = listener(
        kind,
        seen,
        act=database.use,
        retry=Retry(attempts=60, first=0.0, ceiling=0.0),
        backoff=Backoff(after=5, first=0.3, ceiling=0.6),
    )
    with world.bus() as bus:
        bus.start(service)
        publish_numbers(bus, kind, range(20))
        dispatcher = bus.dispatchers[0]
        eventually(lambda: dispatcher.flow.breaker.state is not State.CLOSED)
        count = len(seen)
        gevent.sleep(1.0)
        assert len(seen) - count <= 6, "the broken dependency is hammered"
        database.is_down = False
        eventually(lambda: dispatcher.flow.breaker.state is State.CLOSED)
        eventually(lambda: set(seen.numbers) == set(range(20)))
        eventually(lambda: dispatcher.handled == 20)


def test_backing_off_ends_although_the_test_deliveries_are_poison(world: World) -> None:
    kind, seen = numbered(), Seen()
    database = Database()
    service = listener(
        kind,
        seen,
        act=database.use,
        concurrency=1,
        retry=Retry(attempts=60, first=0.3, ceiling=0.3),
        backoff=Backoff(after=2, first=0.2),
    )
    with world.bus() as bus:
        bus.start(service)
        publish_numbers(bus, kind, [1, 2])
        eventually(lambda: bus.dispatchers[0].flow.breaker.state is not State.CLOSED)
        for _ in range(3):
            bus.engine.publish(service.topics[0], b"poison", delay=0.0, timeout=PATIENCE)
        database.is_down = False
        eventually(lambda: bus.dispatchers[0].handled == 2)
        eventually(lambda: len(bus.dead_letters(kind, service).list()) == 3)


def test_one_bad_event_does_not_slow_its_channel(world: World) -> None:
    kind, seen, states = numbered(), Seen(), set()

    def act(event: object, context: object) -> None:
        states.add(bus.dispatchers[0].flow.breaker.state)
        if event.number == 0:  # type: ignore[attr-defined]
            raise Boom("always")

    service = listener(kind, seen, act=act, retry=Retry(attempts=6, first=0.0, ceiling=0.0))
    with world.bus() as bus:
        bus.start(service)
        publish_numbers(bus, kind, range(200))
        eventually(lambda: bus.dispatchers[0].handled == 199)
        eventually(lambda: len(bus.dead_letters(kind, service).list()) == 1)
    assert states == {State.CLOSED}, "the channel backed off"


def test_a_batch_comes_full_or_after_its_wait(world: World) -> None:
    kind, sizes = numbered(), []
    service = Service(unique("s"))

    @service.on(kind, batch=Batch(size=10, wait=2.0))
    def handle(events: list[kind]) -> None:  # type: ignore[valid-type]
        sizes.append(len(events))

    with world.bus() as bus:
        bus.start(service)
        publish_numbers(bus, kind, range(25))
        eventually(lambda: sum(sizes) == 25)
        assert max(sizes) <= 10
        assert len(sizes) <= 10


def test_one_bad_event_does_not_take_its_batch_with_it(world: World) -> None:
    kind = numbered()
    good: list[int] = []
    service = Service(unique("s"))

    @service.on(kind, batch=Batch(size=10, wait=0.1), retry=Retry(attempts=3, first=0.0, ceiling=0.0))
    def handle(events: list[kind]) -> None:  # type: ignore[valid-type]
        if 3 in numbers_of(events):
            raise Boom("three")
        good.extend(numbers_of(events))

    with world.bus() as bus:
        bus.start(service)
        publish_numbers(bus, kind, range(10))
        letters = bus.dead_letters(kind, service)
        eventually(lambda: letters.list())
        eventually(lambda: sorted(good) == [number for number in range(10) if number != 3])
        assert [letter.envelope().data["number"] for letter in letters.list()] == [3]
