"""Attachments: what starts and stops with a bus beside its subscriptions: an outbox's relay, an inbox, an HTTP server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from eventbus.context import Context
from eventbus.event import Event
from eventbus.runtime.clock import Clock, SystemClock

B_contra = TypeVar("B_contra", contravariant=True)
C_co = TypeVar("C_co", bound=Context, covariant=True)


class _HasClock(Protocol):
    @property
    def clock(self) -> Clock: ...


class _HasEngine(Protocol):
    @property
    def engine(self) -> _HasClock: ...


class Attachment(Protocol[B_contra]):
    """Started with `Bus.attach` or with the first service that names it, and stopped with the bus.

    It says itself what it needs of the bus: `start` may take a `Bus`, or a protocol with less in it. One that holds sockets,
    connections or greenlets may have `abandon()` too, which is called in each forked child: to let go of the copies without
    a word to anybody.
    """

    def start(self, bus: B_contra, /) -> None:
        """Begin; called once for each bus, before any delivery comes."""
        ...

    def stop_intake(self) -> None:
        """Take no new work from outside; called when the stop begins."""
        ...

    def stop(self, timeout: float) -> None:
        """Finish what is under way, at most `timeout` seconds; called after the handlers and before the engine closes."""
        ...

    def is_idle(self) -> bool:
        """Whether nothing can go on here before time passes or something arrives; asked by the test harness."""
        ...


class OnStart:
    """Does something once, before its service takes its first delivery: `service.attach(OnStart(make_tables))`."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work

    def start(self, bus: object) -> None:
        """Do it."""
        self._work()

    def stop_intake(self) -> None:
        """Nothing to stop."""

    def stop(self, timeout: float) -> None:
        """Nothing to stop."""

    def is_idle(self) -> bool:
        """It was done when it started."""
        return True


class BusTime:
    """Tells the time of the bus that it is attached to, so that a service lives in virtual time in tests.

    `time = BusTime()`, `service.attach(time)`; then `time()` are seconds since 1970. Before the start it is the machine's.
    """

    def __init__(self) -> None:
        self._time: Callable[[], float] = SystemClock.time

    def __call__(self) -> float:
        """Return seconds since 1970."""
        return self._time()

    def start(self, bus: _HasEngine) -> None:
        """Take the clock of the bus's engine."""
        self._time = bus.engine.clock.time

    def stop_intake(self) -> None:
        """Nothing to stop."""

    def stop(self, timeout: float) -> None:
        """Nothing to stop."""

    def is_idle(self) -> bool:
        """A clock does nothing by itself."""
        return True


class InboxLike(Attachment[Any], Protocol[C_co]):
    """Runs handlers so that an event has its effect once, however often it is delivered. `eventbus.sql.Inbox` is one."""

    @property
    def context_type(self) -> type[C_co]:
        """The context that its handlers are given."""
        ...

    def bind(self, topic: str, type_name: str, channel: str) -> None:
        """Learn that a handler which runs through this inbox is started; called before each `start`."""
        ...

    def handle(
        self, contexts: Sequence[Context], run: Callable[[Sequence[int], Sequence[Context]], Sequence[Event]]
    ) -> None:
        """Call `run` with the positions of the events that had no effect yet and a context for each; it returns what the
        handler wants published. Returns once effect, claim and publications are safe.

        Raises:
            InboxUnavailableError: it could not claim or commit; the events are not to blame.
        """
        ...

    def answered(self, context: Context) -> None:
        """An event of a channel that keeps this inbox needs no handler: nobody handles its type, or it expired. Must not
        raise, and must not block."""
        ...

    def park(self, context: Context, letter: bytes) -> None:
        """Keep `letter`, the dead letter of an event, until it was replayed or discarded, and bring it to the broker.

        Raises:
            InboxUnavailableError: it could not be kept.
        """
        ...
