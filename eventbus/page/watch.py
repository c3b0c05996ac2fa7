"""Watch: one look at the bus a second for all viewers together, and none while nobody views.

Each look becomes a frame with an id of its own, `RUN-NUMBER`, and some are kept: a viewer whose connection was cut says by
`Last-Event-ID` which frame was its last, and gets all since.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from secrets import token_hex
from typing import Any

import gevent
from gevent.event import Event

from eventbus.engines.base import TopicStats
from eventbus.errors import EventBusError
from eventbus.page.activity import QUIET, Activity
from eventbus.page.flow import flow_of
from eventbus.page.rates import NONE, rates_between
from eventbus.runtime.guarded_log import guarded_log
from eventbus.runtime.redaction import one_line

log = guarded_log("eventbus.page")

_KEPT = 120
_HEARTBEAT = 15.0
_LINGER = 10.0
_RETRY = "retry: 1000\n\n"
"""Tells a browser to come back after that many milliseconds."""


class Watch:
    """Looks at the bus for all viewers.

    Args:
        stats: returns the counts by topic; may block, and may raise EventBusError.
        activity: returns what services told lately.
        interval: seconds between two looks.
        linger: seconds for which it looks on after the last viewer has gone.
    """

    def __init__(
        self,
        stats: Callable[[], Mapping[str, TopicStats]],
        activity: Callable[[], Activity] = lambda: QUIET,
        *,
        interval: float = 1.0,
        linger: float = _LINGER,
    ) -> None:
        self._stats = stats
        self._activity = activity
        self._interval = interval
        self._linger = linger
        self._run = token_hex(4)
        self._number = 0
        self._frames: deque[tuple[int, str]] = deque(maxlen=_KEPT)
        self._came = Event()
        self._viewers = 0
        self._looker: gevent.Greenlet[[], None] | None = None
        self._before: tuple[float, Mapping[str, TopicStats]] | None = None
        self._is_closed = False

    @property
    def viewers(self) -> int:
        """How many look on at this moment."""
        return self._viewers

    def frames(self, last: str | None = None) -> Iterator[str]:
        """Yield server-sent events, for ever: what is kept first, then each new frame, and a comment now and then.

        Args:
            last: id of the last frame that the viewer had; whatever it is not ours says nothing.
        """
        self._viewers += 1
        try:
            self._look_on()
            yield _RETRY
            had = self._had(last)
            while not self._is_closed:
                new = [(number, text) for number, text in self._frames if number > had]
                for number, text in new:
                    yield f"id: {self._run}-{number}\ndata: {text}\n\n"
                    had = number
                if not new:
                    self._came.wait(_HEARTBEAT) or (yield ": nothing new\n\n")
        finally:
            self._viewers -= 1

    def close(self) -> None:
        """Let all viewers go, and look no more."""
        self._is_closed = True
        self._came.set()
        if self._looker is not None:
            self._looker.kill(block=False)

    def _had(self, last: str | None) -> int:
        run, _, number = (last or "").partition("-")
        if run == self._run and number.isascii() and number.isdigit() and len(number) < 12:
            return int(number)
        return 0

    def _look_on(self) -> None:
        if self._looker is None or self._looker.dead:
            self._before = None
            self._looker = gevent.spawn(self._look_again_and_again)

    def _look_again_and_again(self) -> None:
        idle_since = time.monotonic()
        while True:
            began = time.monotonic()
            if self._viewers:
                idle_since = began
            elif began - idle_since > self._linger:
                return
            self._number += 1
            self._frames.append((self._number, json.dumps(self._look(), separators=(",", ":"))))
            self._came.set()
            self._came.clear()
            gevent.sleep(max(self._interval - (time.monotonic() - began), 0.05))

    def _look(self) -> dict[str, Any]:
        frame: dict[str, Any] = {"at": time.time()}
        try:
            stats = self._stats()
        except EventBusError as error:
            self._before = None
            return {**frame, "problem": one_line(str(error), most=500)}
        except Exception as error:  # a fault in reading one look must not end the watch
            log.exception("the page cannot look at the bus")
            self._before = None
            return {**frame, "problem": f"the bus cannot be looked at: {type(error).__name__}"}
        now = time.monotonic()
        rates = NONE if self._before is None else rates_between(self._before[1], stats, max(now - self._before[0], 0.001))
        self._before = now, stats
        return {**frame, **flow_of(stats, rates, self._activity())}
