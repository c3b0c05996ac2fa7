"""Workers: the greenlets that run handlers, by the leader and followers scheme.

Theory of operation. All workers of a dispatcher share one queue. The one that runs takes deliveries one after the other,
without a switch between them. Before it works on one while more wait, it has one idle worker scheduled, unless one is
scheduled already. So a handler that never blocks costs no switch at all, and one that blocks lets the next worker go on
at once. Workers are made when they are needed first, up to the concurrency, and stay.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
from gevent import getcurrent
from gevent.hub import get_hub

from eventbus.delivery.circuit_breaker import CircuitBreaker, State

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
        "_is_waking",
        "_tested",
        "_work",
        "chores",
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
        self._is_closed = False
        self._is_waking = False
        self._tested = False

    def wake(self) -> None:
        """Schedule one worker, if none is scheduled and one can be had."""
        if self._is_waking:
            return
        if self._idle:
            self._is_waking = True
            self._hub.loop.run_callback(self._idle.pop().switch)
        elif self._count < self._concurrency:
            self._is_waking = True
            self._count += 1
            gevent.spawn(self._run)

    @property
    def is_waking(self) -> bool:
        """Whether a worker is scheduled and has not begun."""
        return self._is_waking

    def probe(self) -> None:
        """Let one item through although the channel backs off."""
        self._tested = False
        self.wake()

    def _admit(self) -> bool:
        """Whether the backoff lets another item through now."""
        state = self._breaker.state
        if state is State.CLOSED:
            return True
        if state is State.HALF_OPEN and not self._tested:
            self._tested = True
            return True
        return False

    def _run(self) -> None:
        queue, chores, work, breaker = self.queue, self.chores, self._work, self._breaker
        me = getcurrent()
        budget = _BEFORE_YIELD
        closed = State.CLOSED
        while True:
            self._is_waking = False
            while True:
                if chores:
                    chore = chores.popleft()
                    if (chores or queue) and not self._is_waking:
                        self.wake()
                    chore()
                elif queue and (breaker.state is closed or self._admit()):
                    item = queue.popleft()
                    if queue and not self._is_waking:
                        self.wake()
                    work(item)
                else:
                    break
                budget -= 1
                if not budget:
                    budget = _BEFORE_YIELD
                    gevent.sleep(0)
            if self._is_closed:
                return
            self._idle.append(me)
            self._hub.switch()

    def close(self) -> None:
        """Let the workers end once they have nothing to do."""
        self._is_closed = True
        while self._idle:
            self._hub.loop.run_callback(self._idle.pop().switch)
