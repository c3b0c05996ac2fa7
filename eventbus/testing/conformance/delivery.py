"""Topics, channels and turns."""

from __future__ import annotations

import contextvars
from functools import partial

import gevent
import pytest

from eventbus import MessageTooLargeError, Service
from eventbus.testing.conformance.kit import Seen, listener, numbered, publish_numbers, unique
from eventbus.testing.conformance.waiting import eventually, stays
from eventbus.testing.conformance.worlds import World


def test_what_is_published_is_handled_once(world: World) -> None:
    kind, seen = numbered(), Seen()
    with world.bus() as bus:
        bus.start(listener(kind, seen))
        for number in range(100):
            bus.publish(kind(number=number, text="ünïcode ✓"))
        eventually(lambda: len(seen) == 100)
        assert sorted(seen.numbers) == list(range(100))
        assert set(seen.attempts) == {1}


def test_each_channel_gets_a_copy_of_every_event(world: World) -> None:
    kind, first, second = numbered(), Seen(), Seen()
    with world.bus() as bus:
        bus.start(listener(kind, first), listener(kind, second))
        publish_numbers(bus, kind, range(200))
        eventually(lambda: len(first) == len(second) == 200)
        assert sorted(first.numbers) == sorted(second.numbers) == list(range(200))


def test_replicas_share_a_channel_and_take_turns(world: World) -> None:
    kind, seen = numbered(), [Seen(), Seen()]
    name = unique("s")
    with world.bus() as one, world.bus() as two:
        one.start(listener(kind, seen[0], name=name, max_in_flight=4, act=lambda e, c: gevent.sleep(0.001)))
        two.start(listener(kind, seen[1], name=name, max_in_flight=4, act=lambda e, c: gevent.sleep(0.001)))
        publish_numbers(one, kind, range(400))
        eventually(lambda: len(seen[0]) + len(seen[1]) == 400)
        assert sorted(seen[0].numbers + seen[1].numbers) == list(range(400))
        assert min(len(seen[0]), len(seen[1])) >= 40, "one replica did nearly everything"


def test_many_publishers_and_subscribers_lose_and_double_nothing(world: World) -> None:
    kind, seen = numbered(), Seen()
    name = unique("s")
    with world.bus() as bus:
        bus.start(*(listener(kind, seen, name=name) for _ in range(5)))
        greenlets = [gevent.spawn(publish_numbers, bus, kind, range(start, start + 100)) for start in range(0, 2000, 100)]
        gevent.joinall(greenlets, raise_error=True)
        eventually(lambda: len(seen) >= 2000)
        assert sorted(seen.numbers) == list(range(2000))


def test_many_topics_at_once(world: World) -> None:
    kinds = [numbered() for _ in range(20)]
    seen = [Seen() for _ in kinds]
    with world.bus() as bus:
        bus.start(*(listener(kind, each) for kind, each in zip(kinds, seen, strict=True)))
        for kind in kinds:
            publish_numbers(bus, kind, range(20))
        eventually(lambda: all(len(each) == 20 for each in seen))


def test_a_declared_channel_misses_nothing_before_its_service_runs(world: World) -> None:
    kind, early, late = numbered(), Seen(), Seen()
    service = listener(kind, late)
    with world.bus() as bus:
        bus.start(listener(kind, early))
        bus.declare(service)
        publish_numbers(bus, kind, range(10))
        eventually(lambda: len(early) == 10)
        bus.start(service)
        eventually(lambda: len(late) == 10)


def test_the_first_channel_of_a_topic_gets_what_came_before_it(world: World) -> None:
    kind, seen, later = numbered(), Seen(), Seen()
    with world.bus() as bus:
        publish_numbers(bus, kind, range(10))
        bus.start(listener(kind, seen))
        eventually(lambda: len(seen) == 10)
        bus.start(listener(kind, later))
        publish_numbers(bus, kind, [10])
        eventually(lambda: len(later) == 1)
        assert later.numbers == [10]


def test_a_topic_carries_several_types_and_each_finds_its_handler(world: World) -> None:
    topic = unique()
    one, two, three = (numbered(topic, name) for name in ("One", "Two", "Three"))
    ones, twos = Seen(), Seen()
    service = Service(unique("s"))
    service.on(one)(ones.note)
    service.on(two)(twos.note)
    with world.bus() as bus:
        bus.start(service)
        bus.publish_all([one(number=1), three(number=3), two(number=2)])
        eventually(lambda: len(ones) == len(twos) == 1)
        eventually(lambda: sum(each.counts.total() for each in bus.dispatchers) >= 1)
        assert (ones.numbers, twos.numbers) == ([1], [2])


def test_an_event_without_handler_is_parked_by_choice(world: World) -> None:
    topic, seen = unique(), Seen()
    known, unknown = numbered(topic, "Known"), numbered(topic, "Unknown")
    service = listener(known, seen, unhandled="park")
    with world.bus() as bus:
        bus.start(service)
        bus.publish(unknown(number=1))
        letters = bus.dead_letters(topic, service)
        eventually(lambda: letters.list())
        assert letters.list()[0].reason == "unhandled: no handler for Unknown"


def test_both_codecs_are_read_by_everyone(world: World) -> None:
    kind, seen = numbered(), Seen()
    with world.bus() as bus, world.bus(codec="json") as other:
        bus.start(listener(kind, seen))
        other.publish(kind(number=1, text='"quoted" \n ✓'))
        bus.publish(kind(number=2))
        eventually(lambda: sorted(seen.numbers) == [1, 2])


def _are(seen: Seen, wanted: int) -> bool:
    return len(set(seen.numbers)) == wanted


def test_a_subscriber_that_stopped_does_not_stop_the_others(world: World) -> None:
    kind, seen = numbered(), Seen()
    name = unique("s")
    publisher = world.bus()
    try:
        publisher.declare(listener(kind, seen, name=name))
        for start in range(0, 500, 100):
            with world.bus() as bus:
                bus.start(listener(kind, seen, name=name))
                publish_numbers(publisher, kind, range(start, start + 100))
                eventually(partial(_are, seen, start + 100))
    finally:
        publisher.stop()
    assert sorted(set(seen.numbers)) == list(range(500))


def test_context_variables_reach_handlers_and_stay_apart(world: World) -> None:
    kind, found = numbered(), []
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")

    def act(event: object, context: object) -> None:
        found.append(tenant.get())
        tenant.set("changed by a handler")

    tenant.set("blue")
    with world.bus() as bus:
        bus.start(listener(kind, Seen(), act=act))
        publish_numbers(bus, kind, range(3))
        eventually(lambda: len(found) == 3)
        assert found == ["blue"] * 3


def test_an_event_above_the_limit_is_refused_and_harms_nobody(world: World) -> None:
    kind, seen = numbered(), Seen()
    with world.bus() as bus:
        bus.start(listener(kind, seen))
        with pytest.raises(MessageTooLargeError, match="the limit is"):
            bus.publish(kind(number=1, text="x" * bus.engine.max_message_bytes))
        bus.publish(kind(number=2, text="x" * (bus.engine.max_message_bytes - 8192)))
        eventually(lambda: seen.numbers == [2])


def test_a_paused_channel_holds_its_events_until_it_is_resumed(world: World) -> None:
    if not world.features.pauses:
        pytest.skip("this engine does not pause channels")
    kind, seen = numbered(), Seen()
    service = listener(kind, seen)
    with world.bus() as bus:
        bus.start(service)
        topic = service.topics[0]
        bus.engine.pause(topic, service.channel)
        gevent.sleep(0.5)  # nsqd tells its connections a moment after it has answered
        publish_numbers(bus, kind, range(5))
        stays(lambda: not seen.numbers, 0.3)
        assert bus.engine.stats()[topic].channels[service.channel].is_paused
        bus.engine.resume(topic, service.channel)
        eventually(lambda: len(seen) == 5)


def test_an_ephemeral_channel_vanishes_with_its_subscriber(world: World) -> None:
    if not world.features.ephemeral:
        pytest.skip("this engine has no ephemeral channels")
    kind, seen = numbered(), Seen()
    with world.bus() as observer:
        with world.bus() as bus:
            bus.start(listener(kind, seen, name=unique("s")[:20] + "#ephemeral"))
            publish_numbers(bus, kind, range(3))
            eventually(lambda: len(seen) == 3)
        topic = kind.__event_info__.topic
        eventually(lambda: not observer.engine.stats()[topic].channels)
