"""Rounds: a greenlet that works when it is woken, when something is due, and every few seconds in any case."""

from __future__ import annotations

import contextvars
from collections.abc import Callable

import gevent
import gevent.event
from gevent.hub import get_hub

from eventbus.context import current_cause
from eventbus.retry import Retry
from eventbus.runtime.clock import Clock, Timer
from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.sql")

LONGEST_PAUSE = 15.0
"""Seconds between two tries while database or broker are down."""
AWAITED = 50
"""Failures in a row after which a virtual clock does not hurry on to the next try: nobody will mend it."""


class Rounds:
    """Calls `work` again and again; a failure is logged and makes the pause before the next round longer.

    Args:
        work: returns the seconds after which something is due, 0 for at once, None for nothing known.
        poll: longest pause in seconds between two rounds.
        draw: returns a number in [0, 1), for the jitter of the pauses after failures.
        linger: shortest time in seconds between a wake and its round, to let more come together.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], float | None],
        clock: Clock,
        *,
        poll: float,
        draw: Callable[[], float],
        linger: float = 0.0,
    ) -> None:
        self._name = name
        self._work = work
        self._clock = clock
        self._poll = poll
        self._draw = draw
        self._linger = linger
        self._pauses = Retry(first=poll, ceiling=max(LONGEST_PAUSE, poll))
        self._failures = 0
        self._is_stopping = False
        self._is_working = True
        self._is_due = False
        self._is_woken = gevent.event.Event()
        self._lingering: Timer | None = None
        # the only watcher that another thread may touch
        self._async = get_hub().loop.async_(ref=False)
        self._async.start(self._begin)
        variables = contextvars.copy_context()
        variables.run(current_cause.set, None)
        self._greenlet = gevent.spawn(variables.run, self._run)

    def __repr__(self) -> str:
        return f"<Rounds of {self._name}>"

    def wake(self) -> None:
        """Let the next round begin soon. May be called from any thread."""
        if not self._is_due and not self._is_stopping:
            self._is_due = True
            self._async.send()

    def is_idle(self) -> bool:
        """Whether no round is under way or about to begin."""
        return self._is_stopping or not (self._is_working or self._is_due or self._is_woken.is_set())

    def _begin(self) -> None:
        if not self._linger:
            self._is_woken.set()
            return
        self._is_due = False
        if self._lingering is None:
            self._lingering = self._clock.call_later(self._linger, self._end_linger)

    def _end_linger(self) -> None:
        self._lingering = None
        self._is_woken.set()

    def _run(self) -> None:
        while not self._is_stopping:
            self._is_woken.clear()
            self._is_working, self._is_due = True, False
            due = self._round()
            self._is_working = False
            if due is not None and due <= 0:
                gevent.sleep(0)
                continue
            timers = [self._clock.call_later(self._poll, self._is_woken.set, is_housekeeping=True)]
            if due is not None:
                timers.append(self._clock.call_later(due, self._is_woken.set, is_housekeeping=self._failures >= AWAITED))
            if self._failures:  # the pause is the point of it
                timers.pop(0).cancel()
            self._is_woken.wait()
            for timer in timers:
                timer.cancel()

    def _round(self) -> float | None:
        """Work once; return the seconds until something is due."""
        try:
            due = self._work()
        except Exception as error:
            self._failures += 1
            if self._failures & (self._failures - 1) == 0:  # the 1st, 2nd, 4th, 8th...: an outage fills no disk
                text = str(error).split("\n", 1)[0]
                log.warning("%s failed %d times, goes on: %s: %s", self._name, self._failures, type(error).__name__, text)
            return max(self._pauses.delay(self._failures, draw=self._draw), 0.01)
        if self._failures:
            log.info("%s works again after %d failures", self._name, self._failures)
        self._failures = 0
        return due

    def stop(self, timeout: float) -> None:
        """End after the round that is under way, or after `timeout` seconds; then work off what is still due."""
        self._is_stopping = True
        self._is_woken.set()
        finishing = gevent.spawn(self._finish)
        finishing.join(timeout)
        finishing.kill(block=False)
        self.abandon()

    def abandon(self) -> None:
        """Go on with nothing, at once; in a forked child too."""
        self._is_stopping = True
        self._greenlet.kill(block=False)
        if self._lingering is not None:
            self._lingering.cancel()
        self._async.stop()
        self._async.close()

    def _finish(self) -> None:
        self._greenlet.join()
        if self._failures:
            return
        try:
            while self._work() == 0:
                pass
        except Exception as error:
            log.warning("%s could not finish: %s; the rest waits for the next start", self._name, type(error).__name__)
