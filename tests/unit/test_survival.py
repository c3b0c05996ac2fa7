"""Whatever a step of a delivery raises: it has its answer, the worker stays, and the next good event is handled."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from pydantic import field_validator

from eventbus import Backoff, Batch, Bus, Context, Event, Middleware, Outcome, Retry, Service
from eventbus.delivery.circuit_breaker import State
from eventbus.engines.memory import MemoryEngine
from eventbus.engines.memory_channel import MemoryDelivery
from tests.waiting import eventually


class Own(BaseException):
    """What no library knows."""


class Mute(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


RAISED: list[Callable[[], BaseException]] = [
    lambda: ValueError("caf\udce9"),
    Mute,
    RecursionError,
    MemoryError,
    StopIteration,
    Own,
    gevent.GreenletExit,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    lambda: gevent.Timeout(0.001),
    lambda: OverflowError("date value out of range"),
]
names = (
    "value",
    "mute",
    "recursion",
    "memory",
    "stop",
    "own",
    "exit",
    "system",
    "keyboard",
    "generator",
    "timeout",
    "overflow",
)
STEPS = ("validation", "handle before", "handle after", "handler", "result", "watch", "settled", "finish", "parking")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Faults:
    """Raises at one step, for one event."""

    def __init__(self, step: str, make: Callable[[], BaseException]) -> None:
        self.step = step
        self.make = make
        self.raised = 0

    def at(self, step: str, number: int = 0) -> None:
        if step == self.step and number == 0:
            self.raised += 1
            raise self.make()


def _bus(faults: Faults, seen: list[int], *, batch: bool, backoff: Backoff) -> tuple[Bus, type[Event]]:
    class Thing(Event, topic="things"):
        number: int

        @field_validator("number")
        @classmethod
        def check(cls, value: int) -> int:
            faults.at("validation", value)
            return value

    class Hooks(Middleware):
        def handle(self, event: Any, context: Context, proceed: Callable[[Any, Context], Any]) -> Any:
            first = event[0] if isinstance(event, list) else event
            faults.at("handle before", first.number)
            result = proceed(event, context)
            faults.at("handle after", first.number)
            return result

        def watch(self, service: str, topic: str, channel: str) -> Any:
            return lambda envelope, began, ended: faults.at("watch", envelope.data["number"])

        def settled(self, outcome: Outcome, context: Context, error: BaseException | None) -> None:
            faults.at("settled")

        def publish(self, topic: str, envelope: Any, proceed: Callable[[str, Any], None]) -> None:
            if topic != "things":
                faults.at("result")
            proceed(topic, envelope)

    class Follow(Event, topic="follows"):
        pass

    class Delivery(MemoryDelivery):
        def finish(self) -> None:
            if self._channel.name == "svc" and faults.raised < 1:
                faults.at("finish")
            super().finish()

    class Engine(MemoryEngine):
        def publish(self, topic: str, body: bytes, *, delay: float, timeout: float) -> None:
            if topic.endswith(".dead") and faults.raised < 3:
                faults.at("parking")
            super().publish(topic, body, delay=delay, timeout=timeout)

        def _put_in_channel(self, channel: Any, body: bytes, accepted: float, due: float) -> None:
            channel.put(Delivery(next(self._ids), body, accepted, channel), due)

    service = Service("svc", backoff=backoff)
    retry = Retry(attempts=2, first=0.0, ceiling=0.0)

    def one(thing: Thing) -> Follow | None:
        if faults.step == "parking" and thing.number == 0:
            raise ValueError("cannot be handled")
        faults.at("handler", thing.number)
        seen.append(thing.number)
        return Follow() if thing.number == 0 else None

    def many(things: list[Thing]) -> Follow | None:
        results = [one(thing) for thing in things]
        return results[0]

    if batch:
        service.on(Thing, retry=retry, concurrency=2, batch=Batch(size=3, wait=0.01))(many)
    else:
        service.on(Thing, retry=retry, concurrency=2)(one)
    bus = Bus(engine=Engine(), middleware=[Hooks()])
    bus.start(service)
    return bus, Thing


@pytest.mark.parametrize("make", RAISED, ids=names)
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("batch", [False, True], ids=["single", "batch"])
def test_after_any_exception_of_any_step_the_next_good_event_is_handled(
    step: str, make: Callable[[], BaseException], batch: bool
) -> None:
    faults, seen = Faults(step, make), list[int]()
    bus, thing = _bus(faults, seen, batch=batch, backoff=Backoff())
    with bus:
        bus.publish(thing(number=0) if step != "validation" else _unchecked(thing))
        eventually(lambda: faults.raised)
        for number in (1, 2, 3):
            bus.publish(thing(number=number))
        eventually(lambda: {1, 2, 3} <= set(seen))


@pytest.mark.parametrize("make", RAISED, ids=names)
@pytest.mark.parametrize("step", STEPS)
def test_after_any_exception_of_a_test_delivery_the_channel_goes_on(step: str, make: Callable[[], BaseException]) -> None:
    faults, seen = Faults(step, make), list[int]()
    bus, thing = _bus(faults, seen, batch=False, backoff=Backoff(after=1, first=0.02, ceiling=0.05))
    with bus:
        flow = bus.dispatchers[0].flow
        flow.breaker.failed(("s", "t"), is_first=True)
        bus.publish(thing(number=0) if step != "validation" else _unchecked(thing))
        flow._probe()
        eventually(lambda: faults.raised)
        for number in (1, 2, 3):
            bus.publish(thing(number=number))
        eventually(lambda: {1, 2, 3} <= set(seen))
        eventually(lambda: flow.breaker.state is State.CLOSED)


def _unchecked(thing: Any) -> Any:
    return thing.model_construct(number=0)


@pytest.mark.parametrize("stray", [gevent.Timeout, gevent.GreenletExit, Own, ValueError], ids=lambda kind: kind.__name__)
def test_a_stray_exception_into_an_idle_worker_costs_nothing(stray: type[BaseException]) -> None:
    workers, seen = list[Any](), list[int]()

    class Thing(Event, topic="things"):
        number: int

    service = Service("svc")

    @service.on(Thing, concurrency=2)
    def handle(thing: Thing) -> None:
        workers.append(gevent.getcurrent())
        seen.append(thing.number)

    with Bus("memory://") as bus:
        bus.start(service)
        for number in range(10):
            bus.publish(Thing(number=number))
            eventually(lambda number=number: number in seen)
            gevent.sleep(0)
            workers[-1].kill(stray, block=stray is gevent.GreenletExit, timeout=5.0)
        bus.publish(Thing(number=99))
        eventually(lambda: 99 in seen)
        assert bus.dispatchers[0].is_idle()


def test_a_handler_whose_greenlet_is_killed_lets_its_killer_go() -> None:
    """The delivery is answered, the greenlet ends as its killer expects, and another takes its place."""
    workers, seen = list[Any](), list[int]()

    class Thing(Event, topic="things"):
        number: int

    service = Service("svc")

    @service.on(Thing, concurrency=1, retry=Retry(attempts=5, first=0.0, ceiling=0.0))
    def handle(thing: Thing, context: Context) -> None:
        seen.append(thing.number)
        if context.attempt == 1:
            workers.append(gevent.getcurrent())
            gevent.sleep(30)

    with Bus("memory://") as bus:
        bus.start(service)
        bus.publish(Thing(number=1))
        eventually(lambda: workers)
        workers[0].kill(block=True, timeout=10.0)
        assert workers[0].dead
        eventually(lambda: seen == [1, 1])
        eventually(lambda: bus.dispatchers[0].handled == 1)


def test_what_waits_for_a_free_run_is_woken_whatever_ends_the_run_before() -> None:
    class Thing(Event, topic="things"):
        number: int

    class Other(Event, topic="things"):
        number: int

    service, seen = Service("svc"), list[int]()

    @service.on(Thing, concurrency=1, retry=Retry(attempts=1))
    def handle(thing: Thing) -> None:
        gevent.sleep(0.01)
        seen.append(thing.number)
        if thing.number == 0:
            raise Own

    service.on(Other, concurrency=5)(lambda other: None)
    with Bus("memory://") as bus:
        bus.start(service)
        bus.publish_all([Thing(number=number) for number in range(5)])
        eventually(lambda: sorted(seen) == [0, 1, 2, 3, 4])
        with contextlib.suppress(Exception):
            eventually(lambda: bus.dead_letters(Thing, service).count() == 1)
