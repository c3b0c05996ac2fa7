"""What is parked, what a dead letter tells, and how it comes back."""

from __future__ import annotations

import time

import pytest

from eventbus import Reject, Retry
from eventbus.testing.conformance.kit import Seen, listener, numbered, publish_numbers, unique
from eventbus.testing.conformance.waiting import PATIENCE, eventually, stays
from eventbus.testing.conformance.worlds import World


class Boom(Exception):
    pass


def fail_until(attempt: int, error: type[BaseException] = Boom):  # type: ignore[no-untyped-def]
    def act(event: object, context: object) -> None:
        if context.attempt < attempt:  # type: ignore[attr-defined]
            raise error("not yet")

    return act


def test_used_up_attempts_end_as_a_dead_letter_with_everything_known(world: World) -> None:
    kind, seen = numbered(), Seen()
    service = listener(kind, seen, act=fail_until(99), retry=Retry(attempts=3, first=0.0, ceiling=0.0))
    with world.bus() as bus:
        bus.start(service)
        event = kind(number=5)
        before = time.time()
        identifier = bus.publish(event)
        letters = bus.dead_letters(kind, service)
        eventually(lambda: letters.list())
        (letter,) = letters.list()
        assert seen.attempts == [1, 2, 3]
        assert (letter.id, letter.event_type, letter.attempts) == (identifier, "Numbered", 3)
        assert letter.reason == "attempts used up: 3"
        assert letter.error == "Boom: not yet"
        assert before - 2 <= letter.first.timestamp() <= letter.last.timestamp() <= time.time() + 2
        assert letter.envelope().data == {"number": 5, "text": ""}


def test_reject_parks_at_the_first_attempt(world: World) -> None:
    kind, seen = numbered(), Seen()

    def act(event: object, context: object) -> None:
        raise Reject("unknown SKU")

    service = listener(kind, seen, act=act)
    with world.bus() as bus:
        bus.start(service)
        bus.publish(kind(number=1))
        letters = bus.dead_letters(kind, service)
        eventually(lambda: letters.list())
        assert letters.list()[0].reason == "rejected: unknown SKU"
        assert seen.attempts == [1]


@pytest.mark.parametrize("body", [b"\x00garbage", b"{", b"\x80", b"plain text"])
def test_bytes_that_are_no_event_are_parked_unchanged(world: World, body: bytes) -> None:
    kind, seen = numbered(), Seen()
    service = listener(kind, seen)
    with world.bus() as bus:
        bus.start(service)
        topic = service.topics[0]
        bus.engine.publish(topic, body, delay=0.0, timeout=PATIENCE)
        bus.publish(kind(number=1))
        letters = bus.dead_letters(kind, service)
        eventually(lambda: letters.list())
        (letter,) = letters.list()
        assert letter.body == body
        assert letter.attempts == 1
        assert letter.reason.startswith("not decodable: ")
        eventually(lambda: seen.numbers == [1])


def test_data_that_do_not_fit_are_parked_and_name_the_field(world: World) -> None:
    topic, seen = unique(), Seen()
    kind = numbered(topic)
    service = listener(kind, seen)

    from eventbus import Event

    class Other(Event, topic=topic, name="Numbered"):
        number: str

    with world.bus() as bus:
        bus.start(service)
        bus.publish(Other(number="seven"))
        letters = bus.dead_letters(kind, service)
        eventually(lambda: letters.list())
        assert letters.list()[0].reason.startswith("invalid: field number")
        assert not seen.numbers


def test_a_replay_reaches_its_channel_alone(world: World) -> None:
    kind, seen, other = numbered(), Seen(), Seen()
    broken = [True]

    def act(event: object, context: object) -> None:
        if broken[0]:
            raise Reject("broken")

    service = listener(kind, seen, act=act)
    with world.bus() as bus:
        bus.start(service, listener(kind, other))
        publish_numbers(bus, kind, range(5))
        letters = bus.dead_letters(kind, service)
        eventually(lambda: len(letters.list()) == 5)
        broken[0] = False
        chosen = [letter.id for letter in letters.list() if letter.envelope().data["number"] < 2]
        assert letters.replay(chosen) == 2
        eventually(lambda: bus.dispatchers[0].handled == 2)
        assert letters.replay() == 3
        eventually(lambda: bus.dispatchers[0].handled == 5)
        assert letters.list() == []
        stays(lambda: len(other) == 5, 0.2)


def test_listing_leaves_dead_letters_where_they_are_and_discard_removes_them(world: World) -> None:
    kind = numbered()

    def act(event: object, context: object) -> None:
        raise Reject("never")

    service = listener(kind, Seen(), act=act)
    with world.bus() as bus:
        bus.start(service)
        publish_numbers(bus, kind, range(4))
        letters = bus.dead_letters(kind, service)
        eventually(lambda: len(letters.list()) == 4)
        assert len(letters.list(limit=2)) == 2
        first = letters.list()[0].id
        assert letters.discard([first]) == 1
        assert first not in [letter.id for letter in letters.list()]
        assert letters.discard() == 3
        assert letters.list() == []
