"""Rules that an engine can break: nothing that a message says, a hook raises or a neighbour does stops a channel."""

from __future__ import annotations

import os
import time
from functools import partial
from operator import contains
from typing import Any

import gevent
import pytest

from eventbus import BusStateError, Context, Middleware, Reject, Retry, RetryLater, Service
from eventbus.testing.conformance.kit import Seen, listener, numbered, publish_numbers, unique
from eventbus.testing.conformance.waiting import eventually, stays
from eventbus.testing.conformance.worlds import World
from eventbus.wire.limits import RESERVE


class Hostile(Middleware):
    """Raises in one of its hooks, for events with a negative number."""

    def __init__(self, error: type[BaseException], hook: str) -> None:
        self.error, self.hook = error, hook
        self.raised = 0

    def handle(self, event: object, context: Context, call_next: object) -> object:
        if self.hook == "handle":
            self._raise(getattr(event, "number", 0))
        return call_next(event, context)  # type: ignore[operator]

    def settled(self, outcome: object, context: Context, error: BaseException | None) -> None:
        if self.hook == "settled":
            self._raise(context.envelope.data["number"])

    def _raise(self, number: int) -> None:
        if number < 0:
            self.raised += 1
            raise self.error


class Never(RetryLater):
    """A subclass that does without the check of the class."""

    def __init__(self) -> None:
        self.after = float("nan")


class Soon(Never):
    def __init__(self) -> None:
        self.after = "soon"  # type: ignore[assignment]


@pytest.mark.parametrize("error", [Never, Soon])
def test_a_verdict_that_makes_no_sense_takes_nobodys_place(world: World, error: type[BaseException]) -> None:
    """Its delivery is answered: one that is let go without an answer would keep the next from coming."""
    kind, seen = numbered(), Seen()

    def act(event: Any, context: Context) -> None:
        if event.number == 0 and context.attempt == 1:
            raise error

    with world.bus() as bus:
        bus.start(listener(kind, seen, act=act))
        for number in range(4):
            publish_numbers(bus, kind, [number])
            eventually(partial(contains, seen.numbers, number))
        eventually(lambda: not bus.dispatchers[0].held())


@pytest.mark.parametrize("hook", ["handle", "settled"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, gevent.GreenletExit, gevent.Timeout])
def test_whatever_a_hook_raises_the_next_event_is_handled(world: World, hook: str, error: type[BaseException]) -> None:
    kind, seen, hostile = numbered(), Seen(), Hostile(error, hook)
    with world.bus(middleware=(hostile,)) as bus:
        bus.start(listener(kind, seen, concurrency=2, retry=Retry(attempts=2, first=0.01)))
        for number in range(1, 6):
            publish_numbers(bus, kind, [-number, number])
        eventually(lambda: {1, 2, 3, 4, 5} <= set(seen.numbers))
        eventually(lambda: hostile.raised >= 5)


class Unspeakable(Exception):
    """An error that cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error",
    [Unspeakable(), ValueError("\ud800 lone"), ValueError("x" * 2_000_000)],
    ids=["unspeakable", "surrogate", "long"],
)
def test_what_cannot_be_said_is_parked_all_the_same(world: World, error: Exception) -> None:
    kind, seen = numbered(), Seen()

    def act(event: object, context: object) -> None:
        if event.number < 0:  # type: ignore[attr-defined]
            raise error

    with world.bus() as bus:
        service = listener(kind, seen, act=act, retry=Retry(attempts=1))
        bus.start(service)
        publish_numbers(bus, kind, [-1, 1])
        letters = bus.dead_letters(kind, service)
        eventually(lambda: letters.count() == 1)
        assert [letter.envelope().data["number"] for letter in letters.list()] == [-1]
        eventually(lambda: 1 in seen.numbers)


def test_an_event_of_the_full_size_is_parked_whole(world: World) -> None:
    kind = numbered()
    service = Service(unique("s"))

    @service.on(kind)
    def handle(event: kind) -> None:  # type: ignore[valid-type]
        raise Reject("not today " + "x" * 5000)

    with world.bus() as bus:
        bus.start(service)
        text = "t" * (bus.engine.max_message_bytes - RESERVE - 1000)
        bus.publish(kind(number=1, text=text))
        letters = bus.dead_letters(kind, service)
        eventually(lambda: letters.count() == 1)
        assert letters.list()[0].envelope().data["text"] == text


def test_a_second_worker_gets_its_share_of_slow_events(world: World) -> None:
    kind, name = numbered(), unique("s")
    shares = [Seen(), Seen()]

    def slow(event: object, context: object) -> None:
        gevent.sleep(0.1)

    with world.bus() as first, world.bus() as second:
        first.start(listener(kind, shares[0], name=name, act=slow, concurrency=2))
        publish_numbers(first, kind, range(60))
        eventually(lambda: len(shares[0]) > 2)
        second.start(listener(kind, shares[1], name=name, act=slow, concurrency=2))
        eventually(lambda: len({*shares[0].numbers, *shares[1].numbers}) == 60)
    assert len(shares[1]) >= 6, f"the first one kept what it could not begin: {len(shares[0])} to {len(shares[1])}"


def test_dead_letters_go_in_batches_and_hold_up_no_good_event(world: World) -> None:
    kind, seen = numbered(), Seen()

    def act(event: object, context: object) -> None:
        if event.number < 0:  # type: ignore[attr-defined]
            raise Reject("bad")

    with world.bus() as bus:
        service = listener(kind, seen, act=act, concurrency=2)
        bus.start(service)
        publish_numbers(bus, kind, [-1 - number for number in range(300)])
        publish_numbers(bus, kind, range(5))
        eventually(lambda: set(range(5)) <= set(seen.numbers))
        eventually(lambda: bus.dead_letters(kind, service).count() == 300)


def test_a_stop_in_a_handler_works_and_in_another_thread_is_refused(world: World) -> None:
    kind, reports = numbered(), []
    bus = world.bus()

    def act(event: object, context: object) -> None:
        reports.append(bus.stop())

    def elsewhere() -> str:
        try:
            bus.stop()
        except BusStateError as error:
            return str(error)
        return ""

    bus.start(listener(kind, Seen(), act=act))
    assert "thread" in gevent.get_hub().threadpool.apply(elsewhere)
    publish_numbers(bus, kind, [1])
    eventually(lambda: reports and bus.is_stopping)
    bus.stop()
    with pytest.raises(BusStateError):
        bus.publish(kind(number=2))


def test_a_forked_child_handles_nothing_and_is_told_at_once(world: World) -> None:
    kind, seen = numbered(), Seen()
    with world.bus() as bus:
        bus.start(listener(kind, seen, act=lambda event, context: gevent.sleep(0.05), concurrency=2))
        publish_numbers(bus, kind, range(20))
        eventually(lambda: len(seen) > 2)
        ready, said = os.pipe()
        child = os.fork()
        if child == 0:
            answer, before, began = "", len(seen), time.monotonic()
            try:
                try:
                    bus.publish(kind(number=99))
                except BusStateError:
                    answer = f"refused {time.monotonic() - began < 5}"
                gevent.sleep(0.3)
                answer += f" {len(seen) - before}"
            finally:
                os.write(said, answer.encode())
                os._exit(0)
        eventually(lambda: len(set(seen.numbers)) == 20)
        os.waitpid(child, 0)
        assert os.read(ready, 100) == b"refused True 0"
        stays(lambda: len(seen) == 20, 0.3, "one was delivered twice")


def test_many_topics_are_started_and_declared_at_once(world: World) -> None:
    kinds = [numbered() for _ in range(20)]
    seen = Seen()
    service = Service(unique("s"))
    for kind in kinds:
        service.on(kind)(_noting(seen))
    with world.bus() as bus:
        bus.declare(service)
        bus.publish_all([kind(number=number) for number, kind in enumerate(kinds)])
        bus.start(service)
        eventually(lambda: sorted(seen.numbers) == list(range(20)))


def _noting(seen: Seen):  # type: ignore[no-untyped-def]
    def note(event: object, context: Context) -> None:
        seen.note(event, context)

    return note
