"""Rules about what comes from outside and how much of it is held: trees have a schema, bytes have a bound, deaths count."""

from __future__ import annotations

import os
from typing import Any

import gevent
import msgpack
import pytest

from eventbus import ReplayError, Retry, Service
from eventbus.testing.conformance.kit import Seen, listener, numbered, publish_numbers, unique
from eventbus.testing.conformance.waiting import PATIENCE, eventually
from eventbus.testing.conformance.worlds import World

GOOD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "0190a3c2-0000-7000-8000-000000000000",
    "source": "suite",
    "type": "Numbered",
    "time": 1_790_000_000_000_000,
    "data": {"number": -1},
}


def _stray_attributes() -> dict[str, dict[str, Any]]:
    """Envelopes of which one attribute is not what its schema says."""
    return {
        "time of no calendar": {**GOOD, "time": 2**62},
        "time before all": {**GOOD, "time": -(2**62)},
        "time that is text": {**GOOD, "time": "tomorrow"},
        "depth beyond a counter": {**GOOD, "depth": 2**40},
        "depth below nothing": {**GOOD, "depth": -1},
        "endless id": {**GOOD, "id": "x" * 70_000},
        "no id": {**GOOD, "id": ""},
        "id that is a number": {**GOOD, "id": 7},
        "type that is a list": {**GOOD, "type": ["Numbered"]},
        "version beyond a counter": {**GOOD, "eventversion": 2**63},
        "too many extensions": {**GOOD, **{f"x{number}": 1 for number in range(500)}},
        "extension that is a tree": {**GOOD, "extra": {"a": {"b": [1]}}},
        "data that are no map": {**GOOD, "data": [1, 2]},
        "receipts to a list": {**GOOD, "receiptto": [1]},
        "attempts beyond a counter": {**GOOD, "priorattempts": 2**60},
        "delivery at no time": {**GOOD, "deliverat": float("inf")},
        "expiry that is not a number": {**GOOD, "expirytime": float("nan")},
    }


def test_no_tree_from_outside_ends_a_channel_or_a_tool(world: World) -> None:
    """Each is handled or becomes a dead letter that can be listed, read and replayed; what comes after it is handled."""
    kind, seen = numbered(), Seen()
    service = listener(kind, seen, retry=Retry(attempts=1))
    strays = _stray_attributes()
    with world.bus() as bus:
        bus.start(service)
        (topic,) = service.topics
        for number, stray in enumerate(strays.values(), start=1):
            bus.engine.publish(topic, msgpack.packb(stray), delay=0.0, timeout=PATIENCE)
            bus.publish(kind(number=number))
        eventually(lambda: set(range(1, len(strays) + 1)) <= set(seen.numbers))
        letters = bus.dead_letters(kind, service)
        eventually(lambda: letters.count() + seen.numbers.count(-1) >= len(strays))
        listed = letters.list(limit=100)
        assert len(listed) == letters.count()
        assert all(letter.reason and letter.body for letter in listed)
        with pytest.raises(ReplayError, match="cannot be replayed, since what they hold is no envelope"):
            letters.replay()  # those that can be are, and come back
        eventually(lambda: letters.count() == len(listed))
        publish_numbers(bus, kind, [10_000])
        eventually(lambda: 10_000 in seen.numbers)


def test_what_is_held_is_bounded_in_bytes(world: World) -> None:
    if not world.features.outlives:
        pytest.skip("its messages lie in this process, held or not")
    kind, size, limit = numbered(), 200_000, 2_000_000
    seen, free = Seen(), gevent.event.Event()

    def wait(event: object, context: object) -> None:
        free.wait(PATIENCE)

    service = listener(kind, seen, act=wait, concurrency=200, max_in_flight=200)
    with world.bus(max_in_flight_bytes=limit) as bus:
        bus.declare(service)
        bus.publish_all([kind(number=number, text="t" * size) for number in range(60)])
        bus.start(service)
        subscription = bus.dispatchers[0].subscription
        assert subscription is not None
        eventually(lambda: len(seen) >= 2)
        most, before = 0, -1
        while before < (before := len(seen)) or before < 2:  # until no more come
            gevent.sleep(0.5)
            most = max(most, subscription.in_flight)
        # before a size is known a connection asks for little; on top comes what was on its way
        assert most * size <= 2 * limit + 2 * world.features.brokers * size, most
        free.set()
        eventually(lambda: len(seen) == 60)


def test_an_event_that_kills_its_process_is_parked_after_its_attempts(world: World) -> None:
    if not world.features.outlives:
        pytest.skip("its broker dies with the process")
    kind, name, attempts = numbered(), unique("s"), 3

    def act(event: Any, context: object) -> None:
        if event.number < 0:
            os._exit(9)

    def service(seen: Seen) -> Any:
        return listener(kind, seen, name=name, act=act, concurrency=1, retry=Retry(attempts=attempts))

    with world.bus() as bus:
        bus.declare(service(Seen()))
        publish_numbers(bus, kind, [-1])
        letters = bus.dead_letters(kind, service(Seen()))
        deaths = 0
        while letters.count() == 0:
            deaths += _dies_of_it(world, kind, service(Seen()))
            assert deaths <= attempts + 1, "nobody parks it"
        assert deaths >= attempts
        (letter,) = letters.list()
        assert letter.envelope().data["number"] == -1
        seen = Seen()
        bus.start(service(seen))
        publish_numbers(bus, kind, [1])
        eventually(lambda: seen.numbers == [1])


def _dies_of_it(world: World, kind: Any, service: Service) -> bool:
    """Run the service in a child until it dies, or has parked the event; what a dead one held comes after a second."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with world.bus(message_timeout=1.0) as bus:
                bus.start(service)
                eventually(lambda: bus.dead_letters(kind, service).count())
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


def test_a_list_beyond_all_buffers_is_published_whole_by_the_first_call(world: World) -> None:
    kind, seen = numbered(), Seen()
    with world.bus() as bus:
        bus.publish_all([kind(number=number, text="t" * 900_000) for number in range(40)])  # 36 MB; 32 MiB may wait
        bus.start(listener(kind, seen))
        publish_numbers(bus, kind, [100])
        eventually(lambda: 100 in seen.numbers)
