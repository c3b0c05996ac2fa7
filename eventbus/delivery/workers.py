"""Workers: the greenlets that run handlers, by the leader and followers scheme.

Theory of operation. All workers of a dispatcher share one queue. The one that runs takes deliveries one after the other,
without a switch between them. Before it works on one while more wait, it has one idle worker scheduled, unless one is
scheduled already. So a handler that never blocks costs no switch at all, and one that blocks lets the next worker go on
at once. Workers are made when they are needed first, up to the concurrency, and stay.

A worker survives whatever is thrown at it. What it works on catches its own exceptions; what reaches it between two of
them (a `gevent.Timeout` that a handler left running, a kill that came too late) was meant for something that is over. It
is told in a line and costs nothing: an idle worker leaves the list of the idle ones and looks for work, and one that was
killed ends, so that whoever kills it does not wait for ever, and is replaced when it is missed. Which idle worker goes on
is decided in the hub at the moment it does, so that none is switched to twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import gevent
from gevent import getcurrent
from gevent.hub import get_hub

from eventbus.delivery.circuit_breaker import CircuitBreaker, State
from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.delivery")

_BEFORE_YIELD = 256
"""Deliveries that a worker takes before it lets the hub run: an engine in this process can refill the queue for ever,
and timers, signals and sockets must have their turn."""


class Workers:
    """A queue and the greenlets that empty it through `work`.

    Args:
        work: works on one item of the queue; must not raise.
        concurrency: most greenlets.
        breaker: holds the queue while the channel backs off, and lets one item through as a test.
    """

    __slots__ = (
        "_breaker",
        "_concurrency",
        "_count",
        "_hub",
        "_idle",
        "_is_closed",
        "_is_probing",
        "_is_waking",
        "_work",
        "chores",
        "is_abandoned",
        "queue",
    )

    def __init__(self, work: Callable[[Any], None], concurrency: int, breaker: CircuitBreaker) -> None:
        self.queue: deque[Any] = deque()
        self.chores: deque[Callable[[], None]] = deque()
        """Work besides the queue, such as a batch that is full; done first."""
        self._work = work
        self._concurrency = concurrency
        self._breaker = breaker
        self._hub = get_hub()
        self._idle: list[Any] = []
        self._count = 0
        self.is_abandoned = False
        """Whether this process is a fork, where what a worker raises is that process's own."""
        self._is_closed = False
        self._is_waking = False
        self._is_probing = False

    def wake(self) -> None:
        """Schedule one worker, if none is scheduled and one can be had."""
        if not self._is_waking and (self._idle or self._count < self._concurrency):
            self._is_waking = True
            self._hub.loop.run_callback(self._go_on)

    def _go_on(self) -> None:
        """Let an idle worker work, or make one. Runs in the hub."""
        while self._idle:
            worker = self._idle.pop()
            if not worker.dead:
                worker.switch()
                return
        if self._count < self._concurrency:
            self._count += 1
            gevent.Greenlet(self._run).switch()  # at once, and not in the loop's next turn: a short program may stop then
        else:
            self._is_waking = False  # all of them work, and each looks for more when it has done

    @property
    def is_waking(self) -> bool:
        """Whether a worker is scheduled and has not begun."""
        return self._is_waking

    @property
    def is_working(self) -> bool:
        """Whether a worker is at something, also where it lets others run meanwhile."""
        return self._count > len(self._idle)

    def probe(self) -> None:
        """Let one item through although the channel backs off: one that was never tried, where there is one."""
        self._is_probing = True
        self.wake()

    def _take(self) -> Any | None:
        """Return what is next, or None where nothing is let through now."""
        state = self._breaker.state
        queue = self.queue
        if state is State.CLOSED:
            return queue.popleft()
        if state is State.HALF_OPEN and self._is_probing:
            self._is_probing = False
            position = untried(queue)
            item = queue[position]
            del queue[position]
            return item
        return None

    def _run(self) -> None:
        try:
            while True:
                try:
                    self._empty_queue()
                    if self._is_closed:
                        return
                    self._wait()
                except BaseException as error:
                    if self.is_abandoned:
                        raise
                    if isinstance(error, gevent.GreenletExit):
                        log.warning("a worker was killed; another takes its place when there is work")
                        return
                    log.warning("a stray %s reached a worker between two deliveries: ignored", type(error).__name__)
        finally:
            self._count -= 1
            if (self.queue or self.chores) and not self._is_closed:
                self.wake()

    def _wait(self) -> None:
        me = getcurrent()
        self._idle.append(me)
        try:
            self._hub.switch()
        except BaseException:
            if me in self._idle:
                self._idle.remove(me)
            raise

    def _empty_queue(self) -> None:
        queue, chores, work, breaker = self.queue, self.chores, self._work, self._breaker
        budget = _BEFORE_YIELD
        closed = State.CLOSED
        self._is_waking = False
        while True:
            if chores:
                chore = chores.popleft()
                if (chores or queue) and not self._is_waking:
                    self.wake()
                chore()
            elif queue:
                if breaker.state is closed:
                    item = queue.popleft()
                else:
                    item = self._take()
                    if item is None:
                        return
                if queue and not self._is_waking:
                    self.wake()
                work(item)
            else:
                return
            budget -= 1
            if not budget:
                budget = _BEFORE_YIELD
                gevent.sleep(0)

    def abandon(self) -> None:
        """In a forked child: begin nothing more."""
        self.is_abandoned = self._is_closed = True
        self.queue.clear()
        self.chores.clear()

    def close(self) -> None:
        """Let the workers end once they have nothing to do."""
        self._is_closed = True
        for worker in self._idle:
            self._hub.loop.run_callback(self._end, worker)

    def _end(self, worker: Any) -> None:
        if worker in self._idle:
            self._idle.remove(worker)
            worker.switch()


def untried(queue: Sequence[Any]) -> int:
    """Return the position of the newest delivery that was never tried, since behind many that fail may wait one that does
    not; that of the oldest one where all were tried."""
    for position in range(len(queue) - 1, -1, -1):
        if queue[position].attempts <= 1:
            return position
    return 0
