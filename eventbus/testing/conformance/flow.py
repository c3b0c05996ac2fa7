"""Causes, time, backpressure and stopping."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import gevent
import gevent.event
import pytest

from eventbus import Bus, EventBusError, NotSent, Outcome
from eventbus.testing.conformance.kit import Seen, listener, numbered, publish_numbers, unique
from eventbus.testing.conformance.waiting import PATIENCE, eventually, stays
from eventbus.testing.conformance.worlds import World


def test_returned_events_are_published_and_carry_their_cause(world: World) -> None:
    first, second, third = numbered(), numbered(), numbered()
    ones, twos, threes = Seen(), Seen(), Seen()
    with world.bus() as bus:
        bus.start(
            listener(first, ones, name="one", act=lambda event, context: second(number=event.number + 1)),
            listener(second, twos, name="two", act=lambda event, context: [third(number=7), third(number=8)]),
            listener(third, threes, name="three"),
        )
        origin = bus.publish(first(number=1))
        eventually(lambda: len(threes) == 2)
        (middle,) = twos.contexts
        assert (middle.correlation_id, middle.causation_id, middle.depth, middle.source) == (origin, origin, 1, "one")
        for last in threes.contexts:
            assert (last.correlation_id, last.causation_id, last.depth) == (origin, middle.event_id, 2)
            assert last.source == "two"


def test_publishing_in_a_handler_through_any_bus_carries_the_cause(world: World) -> None:
    first, second = numbered(), numbered()
    seen = Seen()
    with world.bus() as bus, world.bus() as other:
        bus.start(listener(second, seen))
        bus.start(listener(first, Seen(), act=lambda event, context: other.publish(second(number=1)) and None))
        bus.start(listener(first, Seen(), act=lambda event, context: context.publish(second(number=2)) and None))
        origin = bus.publish(first(number=0))
        eventually(lambda: len(seen) == 2)
        assert {context.causation_id for context in seen.contexts} == {origin}
        bus.publish(second(number=3))
        eventually(lambda: len(seen) == 3)
        assert seen.contexts[-1].causation_id is None


def test_services_that_answer_each_other_for_ever_are_stopped(world: World) -> None:
    ping, pong = numbered(), numbered()
    seen = Seen()
    one = listener(ping, seen, act=lambda event, context: pong(number=event.number + 1))
    two = listener(pong, seen, act=lambda event, context: ping(number=event.number + 1))
    with world.bus(max_depth=6) as bus:
        bus.start(one, two)
        bus.publish(ping(number=0))
        letters = bus.dead_letters(pong, two)
        eventually(lambda: letters.list())
        assert letters.list()[0].reason.startswith("loop: 7 events caused one another")
        assert len(seen) == 7


def test_a_delayed_event_comes_not_before_its_time(world: World) -> None:
    kind, seen = numbered(), Seen()
    with world.bus() as bus:
        bus.start(listener(kind, seen))
        bus.publish(kind(number=1), delay=1000.0)
        bus.publish(kind(number=2))
        eventually(lambda: seen.numbers == [2])
        began = time.monotonic()
        bus.publish(kind(number=3), delay=0.4)
        eventually(lambda: seen.numbers == [2, 3])
        assert seen.times[1] - began >= 0.38
        assert seen.attempts == [1, 1]


def test_a_delay_beyond_the_engines_limit_is_kept_at_no_cost_in_attempts(world: World) -> None:
    kind, seen = numbered(), Seen()
    with world.bus(max_delay=0.5) as bus:
        bus.start(listener(kind, seen))
        began = time.monotonic()
        bus.publish(kind(number=1), deliver_at=datetime.now(UTC) + timedelta(seconds=12.0))
        eventually(lambda: len(seen) == 1)
        assert seen.times[0] - began >= 11.95
        assert seen.attempts == [1]
        # nsqd takes up to 5 s to look at the timers of a new channel
        assert 1 <= bus.dispatchers[0].counts[Outcome.EARLY] <= 12.0 / 0.5


def test_an_expired_event_is_passed_over_and_counted(world: World) -> None:
    kind, seen = numbered(), Seen()
    service = listener(kind, seen)
    with world.bus() as bus:
        bus.declare(service)
        bus.publish(kind(number=1), expires_in=0.05)
        bus.publish(kind(number=2), expires_in=10 * PATIENCE)
        gevent.sleep(0.1)
        bus.start(service)
        eventually(lambda: seen.numbers == [2])
        eventually(lambda: bus.dispatchers[0].counts[Outcome.EXPIRED] == 1)


def test_no_more_deliveries_are_held_than_allowed(world: World) -> None:
    kind, seen = numbered(), Seen()
    release = gevent.event.Event()
    service = listener(kind, seen, act=lambda event, context: release.wait() and None, max_in_flight=10, concurrency=50)
    with world.bus() as bus:
        bus.start(service)
        publish_numbers(bus, kind, range(100))
        subscription = bus.dispatchers[0].subscription
        assert subscription is not None
        least = 10 // world.features.brokers
        eventually(lambda: len(seen) >= least)
        stays(lambda: least <= len(seen) <= subscription.in_flight <= 10, 0.3)
        eventually(lambda: subscription.in_flight == len(seen), "what was taken is begun")
        release.set()
        eventually(lambda: sorted(seen.numbers) == list(range(100)))


def test_no_more_handlers_run_at_once_than_allowed(world: World) -> None:
    kind, seen = numbered(), Seen()
    running, most = [0], [0]
    full = gevent.event.Event()

    def act(event: object, context: object) -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        if running[0] == 7:
            full.set()
        full.wait()
        gevent.sleep(0.01)
        running[0] -= 1

    with world.bus() as bus:
        bus.start(listener(kind, seen, act=act, concurrency=7))
        publish_numbers(bus, kind, range(100))
        eventually(lambda: bus.dispatchers[0].handled == 100)
        assert most[0] == 7


def test_all_handlers_have_work_though_one_broker_has_it_all(world: World) -> None:
    kind, seen = numbered(), Seen()
    release = gevent.event.Event()
    with world.bus() as bus:
        bus.start(listener(kind, seen, act=lambda event, context: release.wait() and None, concurrency=5))
        bus.publish(kind(number=0))
        eventually(lambda: len(seen) == 1)
        gevent.sleep(1.5)  # by now it is known that handlers are slow, and little is taken beforehand
        publish_numbers(bus, kind, range(1, 40))
        eventually(lambda: len(seen) == 5, "five handlers at work")
        assert set(seen.attempts) == {1}, "none was interrupted before"
        release.set()
        eventually(lambda: sorted(seen.numbers) == list(range(40)))


def test_a_stop_lets_running_handlers_end_and_gives_back_the_rest_at_once(world: World) -> None:
    kind, before, after, done = numbered(), Seen(), Seen(), []
    name = unique("s")

    release = gevent.event.Event()

    def act(event: object, context: object) -> None:
        release.wait()
        done.append(event.number)  # type: ignore[attr-defined]

    first = world.bus()
    first.start(listener(kind, before, name=name, act=act, concurrency=5, max_in_flight=50))
    publish_numbers(first, kind, range(40))
    eventually(lambda: len(before) == 5)
    stopping = gevent.spawn(first.stop, grace=PATIENCE)
    eventually(lambda: first.is_stopping)
    gevent.sleep(0.1)
    assert not stopping.ready(), "running handlers got no grace"
    release.set()
    report = stopping.get()
    assert (report.finished, report.interrupted) == (5, 0)
    assert sorted(done) == sorted(before.numbers)
    with world.bus() as second:
        second.start(listener(kind, after, name=name))
        eventually(lambda: len(after) == 35, "the rest before its message timeout")
        assert sorted(before.numbers + after.numbers) == list(range(40))


def test_a_stop_begins_nothing_new_while_it_tells_the_engine(world: World) -> None:
    kind, seen = numbered(), Seen()
    release = gevent.event.Event()

    def act(event: object, context: object) -> None:
        release.wait()

    bus = world.bus()
    bus.start(listener(kind, seen, act=act, concurrency=5, max_in_flight=50))
    publish_numbers(bus, kind, range(40))
    eventually(lambda: len(seen) == 5)
    stopping = gevent.spawn(bus.stop, grace=PATIENCE)
    eventually(lambda: bus.is_stopping)  # and it waits for the engine, where that is far
    release.set()
    report = stopping.get()
    assert (len(seen), report.finished, report.interrupted) == (5, 5, 0), report


def test_a_handler_beyond_the_grace_is_interrupted_and_its_delivery_goes_to_another(world: World) -> None:
    kind, before, after = numbered(), Seen(), Seen()
    name = unique("s")
    first = world.bus()
    first.start(listener(kind, before, name=name, act=lambda event, context: gevent.event.Event().wait() and None))
    first.publish(kind(number=1))
    eventually(lambda: len(before) == 1)
    report = gevent.spawn(first.stop, grace=0.2).get(timeout=PATIENCE)  # the handler never ends by itself
    assert report.interrupted == 1
    with world.bus() as second:
        second.start(listener(kind, after, name=name))
        eventually(lambda: after.numbers == [1], "the delivery before its message timeout")


def test_closing_while_publishing_loses_nothing_that_was_confirmed(world: World) -> None:
    kind, seen = numbered(), Seen()
    service = listener(kind, seen)
    confirmed: list[int] = []
    publisher = world.bus()
    publisher.declare(service)

    def publish(start: int) -> None:
        for number in range(start, start + 10_000):
            try:
                publisher.publish(kind(number=number), timeout=PATIENCE)
            except EventBusError:
                return
            confirmed.append(number)
            gevent.sleep(0)

    greenlets = [gevent.spawn(publish, start) for start in range(0, 100_000, 10_000)]
    eventually(lambda: len(confirmed) > 200)
    publisher.stop()
    gevent.joinall(greenlets, timeout=PATIENCE, raise_error=True)
    assert all(each.dead for each in greenlets)
    with world.bus() as bus:
        bus.start(service)
        eventually(lambda: set(confirmed) <= set(seen.numbers))


def test_many_buses_start_and_stop_at_the_same_time(world: World) -> None:
    kind, seen = numbered(), Seen()
    name = unique("s")
    with world.bus() as bus:
        bus.declare(listener(kind, seen, name=name))
        publish_numbers(bus, kind, range(300))

        def come_and_go() -> None:
            with world.bus() as guest:
                guest.start(listener(kind, seen, name=name, max_in_flight=10))
                gevent.sleep(0.05)

        gevent.joinall([gevent.spawn(come_and_go) for _ in range(10)], raise_error=True)
        bus.start(listener(kind, seen, name=name))
        eventually(lambda: set(seen.numbers) == set(range(300)))


def test_publish_all_confirms_events_of_many_topics(world: World) -> None:
    kinds = [numbered() for _ in range(3)]
    seen = [Seen() for _ in kinds]
    with world.bus() as bus:
        bus.start(*(listener(kind, each) for kind, each in zip(kinds, seen, strict=True)))
        identifiers = bus.publish_all(kind(number=number) for number in range(50) for kind in kinds)
        assert len(set(identifiers)) == 150
        eventually(lambda: all(sorted(each.numbers) == list(range(50)) for each in seen))


def test_a_full_channel_makes_publish_wait_and_drops_nothing(world: World) -> None:
    if world.features.bounded is None:
        pytest.skip("this engine's depth is bounded by its disk")
    kind, seen = numbered(), Seen()
    service = listener(kind, seen)
    with Bus(world.features.bounded) as bus:
        bus.declare(service)
        publish_numbers(bus, kind, range(10))
        with pytest.raises(NotSent, match=r"for 0.1 s"):
            bus.publish(kind(number=10), timeout=0.1)
        waiting = gevent.spawn(publish_numbers, bus, kind, range(10, 500))
        bus.start(service)
        waiting.get(timeout=PATIENCE)
        eventually(lambda: sorted(seen.numbers) == list(range(500)))
