"""Aging: dead letters do not lie for ever. Workers look through those of their channel once in a while.

A look is bounded: it holds a few hundred letters at a time, and goes on while it finds old ones. One in a hundred stays as a
sample, as past the other bounds, always the same ones.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import gevent

from eventbus.dead_letters.bounds import SAMPLE
from eventbus.dead_letters.mending import DeadLetters
from eventbus.runtime.clock import Clock, Timer
from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.delivery")

_SHORTEST_PAUSE, _LONGEST_PAUSE = 1.0, 3600.0
_AT_ONCE = 200


class Aging:
    """Takes old dead letters of one channel away, and counts them.

    Args:
        age: seconds; 0 for letters that stay.
        draw: returns a number in [0, 1): replicas do not look all at once.
        on_dropped: told how many went.
    """

    def __init__(
        self, letters: DeadLetters, clock: Clock, age: float, draw: Callable[[], float], on_dropped: Callable[[int], object]
    ) -> None:
        self._letters = letters
        self._clock = clock
        self._age = age
        self._draw = draw
        self._on_dropped = on_dropped
        self._timer: Timer | None = None
        self._looking: Any = None
        self._is_stopped = False

    def start(self) -> None:
        """Look once in a while from now on."""
        if self._age and not self._is_stopped:
            pause = min(max(self._age / 4, _SHORTEST_PAUSE), _LONGEST_PAUSE) * (0.5 + 0.5 * self._draw())
            self._timer = self._clock.call_later(pause, self._begin, is_housekeeping=True)

    def stop(self) -> None:
        """Look no more; what is held goes back."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._looking is not None:
            self._looking.kill(block=False)

    def _begin(self) -> None:
        self._looking = gevent.spawn(self._look)

    def _look(self) -> None:
        before = self._clock.time() - self._age
        dropped = 0
        try:
            while gone := self._letters.discard(
                where=lambda letter: letter.last.timestamp() < before and not _is_sample(letter.id, letter.body),
                look_at=_AT_ONCE,
            ):
                dropped += gone
        except Exception as error:  # the next look finds them
            log.warning("%s: old dead letters could not be looked at: %s", self._letters.dead_topic, type(error).__name__)
        finally:
            if dropped:
                log.warning(
                    "%s: %d dead letters were older than %g days and went, one in %d stays (EVENTBUS_MAX_DEAD_AGE)",
                    self._letters.dead_topic,
                    dropped,
                    self._age / 86400,
                    SAMPLE,
                )
                self._on_dropped(dropped)
        self.start()


def _is_sample(identifier: str, body: bytes) -> bool:
    return zlib.crc32(identifier.encode("utf-8", "replace") + body) % SAMPLE == 0
