"""What an engine kept: channels that begin in the past, and past events that come again."""

from __future__ import annotations

import gevent
import pytest

from eventbus import Bus, ConfigurationError, Service
from eventbus.engines import Log
from eventbus.testing.conformance.kit import Seen, listener, numbered, publish_numbers, unique
from eventbus.testing.conformance.waiting import eventually, stays
from eventbus.testing.conformance.worlds import World


def test_a_channel_begins_in_the_past_and_meets_the_present_without_gap_or_double(world: World) -> None:
    kind, old, new, published = numbered(), Seen(), Seen(), [0]
    late = Service(unique("s"), begin="earliest")
    late.on(kind)(new.note)
    with world.bus() as bus:
        bus.start(listener(kind, old))
        publish_numbers(bus, kind, range(100))
        if not world.features.past:
            with pytest.raises(ConfigurationError, match="begin"):
                bus.start(late)
            return
        going = gevent.spawn(_publish_on, bus, kind, published)
        eventually(lambda: published[0] >= 20)
        bus.start(late)
        eventually(lambda: len(new) >= 200)
        published.append(0)  # enough
        going.get()
        eventually(lambda: len(new) >= 100 + published[0])
        stays(lambda: len(new) == 100 + published[0], 0.3)
        assert sorted(new.numbers) == list(range(100 + published[0]))
        eventually(lambda: len(old) == len(new))


def _publish_on(bus: Bus, kind: type, published: list[int]) -> None:
    """Publish one event after the other, and count them, until the list of the count has a second number."""
    while len(published) == 1:
        publish_numbers(bus, kind, [100 + published[0]])
        published[0] += 1
        gevent.sleep(0.001)


def test_past_events_come_again_to_one_channel_alone(world: World) -> None:
    if not world.features.past:
        pytest.skip("this engine keeps no past events")
    kind, seen, other = numbered(), Seen(), Seen()
    service = listener(kind, seen)
    with world.bus() as bus:
        bus.start(service, listener(kind, other))
        publish_numbers(bus, kind, range(10))
        eventually(lambda: len(seen) == len(other) == 10)
        (topic,) = service.topics
        log: Log = bus.engine  # type: ignore[assignment]  # an engine that keeps a log is one

        def repeat() -> int:
            past = log.past(topic, after=0, since=None, until=None, most=4, most_bytes=1_000_000)
            return log.repeat(topic, service.channel, [each.position for each in past])

        eventually(lambda: repeat() == 4, "what was finished is known to be")
        eventually(lambda: len(seen) >= 14)
        assert set(seen.numbers[10:]) == set(range(4))
        stays(lambda: len(other) == 10, 0.2)
