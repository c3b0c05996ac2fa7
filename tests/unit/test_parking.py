"""Parking never fails because of what is parked, and what lies there is read whatever anybody wrote."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import gevent
import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventbus import Bus, Event, NotSent, Reject, Retry, Service
from eventbus.cli.letters import show, table, tree
from eventbus.dead_letters import DeadLetter
from eventbus.dead_letters.letter import TYPE, read_letter, write_letter
from eventbus.dead_letters.parking import FIRST_PAUSE, LONGEST_PAUSE
from eventbus.engines.memory import MemoryEngine, MemoryOptions
from eventbus.errors import DecodeError, ReplayError
from eventbus.wire.codec import Limits
from eventbus.wire.limits import RESERVE
from tests.waiting import eventually

WHEN = "2026-01-31T12:00:00Z"
LABEL: dict[str, Any] = {
    "topic": "t",
    "channel": "svc",
    "reason": "r",
    "error": None,
    "attempts": 1,
    "first": WHEN,
    "last": WHEN,
    "eventtype": "P",
    "body": b"\x80",
}


class Thing(Event, topic="t"):
    number: int


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Delivered:
    """What `write_letter` looks at."""

    held_since = 0.0

    def __init__(self, body: bytes, timestamp: float = 1.7e9) -> None:
        self.body = body
        self.attempts = 1
        self.timestamp = timestamp


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def letter_of(body: bytes, max_bytes: int = 10_000, **changes: Any) -> tuple[bytes, DeadLetter]:
    given: dict[str, Any] = {"reason": "why", "error": None, "attempts": 1, **changes}
    delivery: Any = Delivered(body, given.pop("timestamp", 1.7e9))
    written = write_letter(
        delivery, topic="t", channel="svc", service="svc", envelope=None, now=1.8e9, max_bytes=max_bytes, **given
    )
    assert 0 < len(written) <= max_bytes
    limits = Limits(max_bytes=max_bytes)
    return written, read_letter(written, topic="t", channel="svc", timestamp=1.7e9, limits=limits)


@given(
    body=st.binary(min_size=1, max_size=300),
    reason=st.text(st.characters()),
    text=st.text(st.characters()),
    attempts=st.integers(-(2**70), 2**70),
    timestamp=st.floats(),
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_and_any_text_become_a_dead_letter(
    body: bytes, reason: str, text: str, attempts: int, timestamp: float
) -> None:
    _, letter = letter_of(body, reason=reason, error=ValueError(text), attempts=attempts, timestamp=timestamp)
    assert letter.body == body and letter.is_whole
    assert 0 <= letter.attempts < 2**31


@pytest.mark.parametrize("error", [Mute(), ValueError("caf\udce9"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x")])
def test_an_exception_with_a_strange_text_is_told_as_far_as_it_goes(error: Exception) -> None:
    _, letter = letter_of(b"x", error=error)
    assert letter.error is not None and letter.error.startswith(type(error).__name__)


@given(size=st.integers(1, 12_000))
@settings(max_examples=100, deadline=None)
def test_a_message_of_any_size_is_parked_whole_or_its_beginning_with_its_size(size: int) -> None:
    _, letter = letter_of(b"x" * size, reason="r" * 5000, error=ValueError("e" * 5000))
    assert letter.size == size
    if size <= 10_000:
        assert letter.is_whole and letter.body == b"x" * size
    else:
        assert len(letter.body) >= 10_000 - RESERVE
        with pytest.raises(DecodeError, match="the first"):
            letter.envelope()
    if size <= 9_000:
        assert letter.reason.startswith("r"), "what fits of the label is kept"


ODD: dict[str, Any] = {
    "last": ["0001-01-01T00:00:00+23:59", "soon", 5, None, "9999-12-31T23:59:59-23:59", "x" * 5000],
    "first": ["1969-12-31T00:00:00Z", {}],
    "body": ["text", 7, None, ["a"]],
    "reason": [5, None, "x" * 5000, b"bytes"],
    "error": [{"a": "b"}, 5, "x" * 5000],
    "attempts": [-1, 2**40, "\x1b[31m", True, 1.5, None],
    "eventtype": [[1], 5, "x" * 5000],
    "topic": [{"a": 1}, None, "x" * 5000],
    "place": [5, "x" * 5000],
    "size": ["x", -1, 2**40],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ODD.items() for value in values])
def test_a_forged_label_keeps_nobody_from_the_other_letters(name: str, value: Any) -> None:
    def forged(**changes: Any) -> bytes:
        data = {**LABEL, **changes}
        return bytes(
            msgpack.packb({"specversion": "1.0", "id": "forged", "source": "evil", "type": TYPE, "time": WHEN, "data": data})
        )

    service = Service("svc")
    service.on(Thing)(lambda thing: None)
    with Bus("memory://") as bus:
        bus.start(service)
        for body in (forged(), forged(**{name: value}), b"\x00nothing", forged(body=b"\x81")):
            bus.engine.publish("t.svc.dead", body, delay=0.0, timeout=5.0)
        letters = bus.dead_letters("t", "svc")
        found = letters.list()
        assert len(found) == 4
        assert sorted(letter.reason for letter in found) == ["parked without a label"] * 2 + ["r", "r"]
        json.dumps([tree(letter) for letter in found])
        table(found)
        for letter in found:
            show(letter)
        assert letters.discard() == 4


def test_what_was_cut_cannot_be_replayed_and_says_so() -> None:
    engine = MemoryEngine(MemoryOptions(max_message_bytes=20_000))
    service = Service("svc")
    service.on(Thing)(lambda thing: None)
    with Bus(engine=engine) as bus:
        bus.start(service)
        dispatcher = bus.dispatchers[0]
        engine.max_message_bytes = 10_000  # as a broker that takes more than we do
        engine._put(engine._topics["t"], b"x" * 15_000, 0.0)
        eventually(lambda: bus.dead_letters("t", "svc").count() == 1)
        assert dispatcher.is_idle()
        with pytest.raises(ReplayError, match="first 5,904 of 15,000 bytes"):
            bus.dead_letters("t", "svc").replay()


def test_what_is_put_back_for_the_brokers_faults_comes_with_growing_pauses_and_is_parked_in_the_end() -> None:
    pauses: list[float] = []

    class Engine(MemoryEngine):
        is_away = True

        def publish(self, topic: str, body: bytes, *, delay: float, timeout: float) -> None:
            if topic.endswith(".dead") and self.is_away:
                raise NotSent("no room")
            super().publish(topic, body, delay=delay, timeout=timeout)

    service = Service("svc")

    @service.on(Thing)
    def handle(thing: Thing) -> None:
        raise Reject("never")

    engine = Engine()
    with Bus(engine=engine) as bus:
        bus.start(service)
        parker = bus.dispatchers[0]._acknowledger._parker
        told = parker._on_done

        def note(parking: Any, error: BaseException | None, pause: float) -> None:
            pauses.append(pause)
            if len(pauses) == 8:
                engine.is_away = False
            told(parking, error, 0.0 if error else pause)

        parker._on_done = note
        bus.publish(Thing(number=1))
        eventually(lambda: bus.dead_letters("t", "svc").count() == 1)
    assert pauses[:8] == [min(FIRST_PAUSE * 2**n, LONGEST_PAUSE) for n in range(8)]
    assert pauses[8] == 0.0


def test_a_hanging_broker_holds_up_what_is_parked_and_no_good_event() -> None:
    hangs = gevent.event.Event()

    class Engine(MemoryEngine):
        def publish(self, topic: str, body: bytes, *, delay: float, timeout: float) -> None:
            if topic.endswith(".dead"):
                hangs.wait()
            super().publish(topic, body, delay=delay, timeout=timeout)

        def publish_many(self, topic: str, bodies: Any, *, timeout: float) -> None:
            for body in bodies:
                self.publish(topic, body, delay=0.0, timeout=timeout)

    service, seen = Service("svc"), list[int]()

    @service.on(Thing, concurrency=2, retry=Retry(attempts=1))
    def handle(thing: Thing) -> None:
        if thing.number < 0:
            raise ValueError("bad")
        seen.append(thing.number)

    with Bus(engine=Engine()) as bus:
        bus.start(service)
        bus.publish_all([Thing(number=-number) for number in range(1, 11)])
        bus.publish_all([Thing(number=number) for number in range(10)])
        eventually(lambda: sorted(seen) == list(range(10)))
        assert bus.dead_letters("t", "svc").count() == 0
        hangs.set()
        eventually(lambda: bus.dead_letters("t", "svc").count() == 10)
