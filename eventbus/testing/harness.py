"""Harness: services on the memory engine in virtual time, and a record of what they did.

`settle()` returns when nothing is in flight any more, retries and delayed events included: a retry after 300 seconds costs
no time, since the harness moves the clock whenever everything else waits. So "nothing else was published" is a plain look
at a record that is complete, and not a guess after a pause.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from types import TracebackType
from typing import Any, Self, TypeVar

import gevent

from eventbus.bus import Bus
from eventbus.dead_letters import DeadLetter
from eventbus.engines.memory import MemoryOptions
from eventbus.errors import EventBusError
from eventbus.event import Event, event_info, event_topic
from eventbus.middleware import Middleware, Outcome
from eventbus.names import PARKED
from eventbus.runtime.randomness import Randomness
from eventbus.service import Service
from eventbus.settings import BusSettings
from eventbus.testing.clock import VirtualClock
from eventbus.testing.faults import FaultyEngine
from eventbus.testing.record import InjectedFailure, Recorder
from eventbus.testing.seed import seed_of
from eventbus.wire.envelope import Envelope

E = TypeVar("E", bound=Event)


class HandlerFailedError(EventBusError, AssertionError):
    """Raised by `settle` when a handler raised something that the test did not expect."""


class NotSettledError(EventBusError, AssertionError):
    """Raised by `settle` when handlers still run after its time limit."""


made: list[Harness] = []
"""Harnesses of the test that runs, for the plugin to tell their seeds."""


class Harness:
    """Runs services in virtual time; a context manager.

    Args:
        services: what is started; more by `start`.
        settings: settings of the bus; the environment is not read.
        options: options of the memory engine.
        middleware: hooks of the bus, outside the harness's own.
        seed: of all that is left to chance: ids, the jitter of retries, shuffles. The same seed gives the same run. Another
            one each time unless given here or as EVENTBUS_SEED; the pytest plugin prints it when a test fails.
    """

    def __init__(
        self,
        *services: Service,
        settings: BusSettings | None = None,
        options: MemoryOptions | None = None,
        middleware: Sequence[Middleware] = (),
        seed: int | None = None,
    ) -> None:
        self.seed = seed_of(seed)
        self._randomness = Randomness(self.seed)
        self.clock = VirtualClock()
        self.engine = FaultyEngine(options, clock=self.clock)
        self._record = Recorder()
        self.bus = Bus(
            engine=self.engine,
            source="test",
            middleware=[*middleware, self._record],
            settings=settings or BusSettings.model_construct(),
            randomness=self._randomness,
        )
        self._expected: tuple[type[BaseException], ...] = ()
        self._is_closed = False
        made.append(self)
        if services:
            self.bus.start(*services)

    def __repr__(self) -> str:
        return f"Harness(seed={self.seed})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
        if error is None:
            self._surface()
        elif "PYTEST_CURRENT_TEST" not in os.environ:  # the plugin says it there
            error.add_note(f"the same run again: {self!r}")

    def start(self, *services: Service) -> None:
        """Start more services."""
        self.bus.start(*services)

    def publish(self, event: Event, **options: Any) -> str:
        """Publish as `Bus.publish`, and return the event's id."""
        return self.bus.publish(event, **options)

    def settle(self, *, timeout: float = 60.0) -> None:
        """Return when nothing is in flight and nothing is due any more; virtual time passes as needed.

        Args:
            timeout: longest time in real seconds that handlers may take for it; it ends what hangs, and a busy machine
                needs longer than an idle one.

        Raises:
            HandlerFailedError: a handler raised what the test does not expect.
            NotSettledError: handlers still run.
        """
        self._run(timeout, until=None)
        self._surface()

    def advance(self, seconds: float, *, timeout: float = 60.0) -> None:
        """Let virtual `seconds` pass, and no more, with all that is due meanwhile; raises as `settle`."""
        self._run(timeout, until=self.clock.monotonic() + seconds)
        self._surface()

    def _run(self, timeout: float, until: float | None) -> None:
        deadline, began = time.monotonic() + timeout, self.clock.monotonic()
        while True:
            self._let_handlers_run(deadline)
            if time.monotonic() > deadline:
                last = f"; the last outcome was {self._record.last()}" if self._record.outcomes else ""
                raise NotSettledError(
                    f"{timeout:g} s are over, {self.clock.monotonic() - began:.6g} s of virtual time passed, and more is "
                    f"to come{last}. If it comes again without end: advance(seconds). On a slow machine: a longer timeout="
                )
            due = self.clock.next_due()
            if until is None and due is None:
                return
            if until is not None and until <= self.clock.monotonic():
                return
            self._go_to(min(each for each in (until, due) if each is not None))

    def _go_to(self, instant: float) -> None:
        """Let virtual time pass, and touch what services hold meanwhile, as a ticker does in real time."""
        while (now := self.clock.monotonic()) < instant:
            held = [delivery for each in self.bus.dispatchers for delivery in each.held()]
            for delivery in held:
                delivery.touch()
            self.clock.advance_to(min(instant, now + self.bus.message_timeout / 4) if held else instant)
        self.clock.advance_to(instant)  # what is due at this very moment

    def _let_handlers_run(self, deadline: float) -> None:
        pause = 0.0
        while True:
            gevent.sleep(pause)
            busy = [each for each in self.bus.dispatchers if not each.is_idle()]
            attached = [each for each in self.bus.attachments if not each.is_idle()]
            if not busy and not attached:
                return
            if time.monotonic() > deadline:
                names = ", ".join([f"{each.topic}/{each.channel}" for each in busy] + [repr(each) for each in attached])
                raise NotSettledError(f"handlers on {names} still run; do they wait for something that the test must give?")
            # a handler that waits for real input or output needs real time
            pause = 0.0005 if attached or all(each.execution.running.by_greenlet for each in busy) else 0.0

    def _surface(self) -> None:
        failures, self._record.failures = self._record.failures, []
        for context, error in failures:
            if not isinstance(error, self._expected):
                raise HandlerFailedError(
                    f"{context.service} failed on {context.event_type} {context.event_id}, attempt {context.attempt}: "
                    f"{type(error).__name__}: {error}; expect it with harness.expecting({type(error).__name__})"
                ) from error

    @contextmanager
    def expecting(self, *errors: type[BaseException]) -> Iterator[None]:
        """Take failures of these types as part of the test while the block runs."""
        before, self._expected = self._expected, (*self._expected, *errors)
        try:
            yield
        finally:
            self._record.failures = [each for each in self._record.failures if not isinstance(each[1], errors)]
            self._expected = before

    # -- the record -------------------------------------------------------------------------------------------------

    def published(self, event_type: type[E]) -> list[E]:
        """Return what was published as `event_type`, by whomever, in order."""
        topic, name = event_topic(event_type), event_info(event_type).name
        return [_view(event_type, each) for where, each in self._record.published if (where, each.type) == (topic, name)]

    def published_types(self) -> list[str]:
        """Return the type names of all that was published, in order: compare it to say "and nothing else"."""
        return [each.type for _, each in self._record.published]

    def envelopes(self) -> list[Envelope]:
        """Return the envelopes of all that was published, in order."""
        return [each for _, each in self._record.published]

    def handled(self, event_type: type[E], *, by: Service | str | None = None) -> list[E]:
        """Return what handlers finished as `event_type`, of one service or of all."""
        topic, name = event_topic(event_type), event_info(event_type).name
        service = by.name if isinstance(by, Service) else by
        return [
            _view(event_type, each)
            for handler, where, each in self._record.handled
            if (where, each.type) == (topic, name) and service in (None, handler)
        ]

    def outcomes(self, outcome: Outcome, *, by: Service | str | None = None) -> int:
        """Return how many deliveries ended so, of one service or of all."""
        service = by.name if isinstance(by, Service) else by
        return sum(1 for kind, handler, _ in self._record.outcomes if kind is outcome and service in (None, handler))

    def dead_letters(self, channel: Service | str | None = None) -> list[DeadLetter]:
        """Return the dead letters of a channel, or all."""
        wanted = channel.channel if isinstance(channel, Service) else channel
        letters: list[DeadLetter] = []
        for dead_topic in [name for name, stats in self.engine.stats().items() if PARKED in stats.channels]:
            topic, _, name = dead_topic.removesuffix(".dead").rpartition(".")
            if wanted in (None, name):
                letters.extend(self.bus.dead_letters(topic, name).list())
        return letters

    # -- faults -----------------------------------------------------------------------------------------------------

    def fail_next(
        self,
        times: int = 1,
        *,
        event_type: type[Event] | None = None,
        by: Service | str | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Let the next `times` runs of matching handlers fail with `error`; such a failure needs no `expecting`."""
        service = by.name if isinstance(by, Service) else by
        name = None if event_type is None else event_info(event_type).name
        self._record.failing.extend([(service, name, error or InjectedFailure("injected by the test"))] * times)

    def duplicate_next(self, times: int = 1) -> None:
        """Deliver each of the next `times` published events twice, as a broker may."""
        self.engine.duplicates += times

    def lose_next(self, times: int = 1) -> None:
        """Confirm each of the next `times` published events and forget it, as a broker that crashes."""
        self.engine.losses += times

    def lose_receipts(self, times: int = 1) -> None:
        """Confirm each of the next `times` messages with receipts, which inboxes send to outboxes, and forget it."""
        self.engine.lost_receipts += times

    @contextmanager
    def refusing(self, *topics: str | type[Event]) -> Iterator[None]:
        """Let the broker refuse every message of these topics while the block runs, and take those of others."""
        before = self.engine.refused
        self.engine.refused = before | {each if isinstance(each, str) else event_topic(each) for each in topics}
        try:
            yield
        finally:
            self.engine.refused = before

    @contextmanager
    def broker_down(self) -> Iterator[None]:
        """Let every publish fail while the block runs."""
        self.engine.is_down = True
        try:
            yield
        finally:
            self.engine.is_down = False

    @contextmanager
    def reordering(self, seed: int | None = None) -> Iterator[None]:
        """Hold what is published in the block and deliver it in random order afterwards; a seed of its own makes this
        order the same whatever else is drawn."""
        channels = [(topic, name) for topic, stats in self.engine.stats().items() for name in stats.channels]
        for topic, name in channels:
            self.engine.pause(topic, name)
        self.engine.order = self._randomness.position if seed is None else Random(seed).randrange
        try:
            yield
        finally:
            self.engine.order = None
            for topic, name in channels:
                self.engine.resume(topic, name)

    def close(self) -> None:
        """Stop the services. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            self.bus.stop(grace=1.0)


def _view(event_type: type[E], envelope: Envelope) -> E:
    event: E = event_type.__pydantic_validator__.validate_python(envelope.data, extra="ignore")
    return event
