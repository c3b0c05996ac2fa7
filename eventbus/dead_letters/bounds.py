"""Bounds: how many dead letters a channel keeps. What comes past them is counted, and now and then one is kept as a sample.

Whoever can publish could otherwise fill the broker's disk with letters: one for each channel and each bad message. What the
bounds look at is what lies there already, asked of the broker now and then and beside the parking, and what was added since.
Bytes that are no event have a bound of their own in each hour: no replay can ever bring them to a handler, so a few of them
tell as much as all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import gevent

from eventbus.runtime.guarded_log import guarded_log
from eventbus.settings import BusSettings

log = guarded_log("eventbus.delivery")

_ASK_EVERY = 30.0
_SAY_EVERY = 60.0
_HOUR = 3600.0
SAMPLE = 100
"""One in so many is kept past the bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxDead:
    """Most dead letters of a channel.

    Attributes:
        count: letters.
        size: bytes of them all, by the mean of those that this process parked.
        unreadable: bytes in an hour of those that are no event.
        age: seconds since they were parked; 0 for ever.
    """

    count: int
    size: int
    unreadable: int
    age: float = 0.0

    @classmethod
    def of(cls, settings: BusSettings) -> MaxDead:
        """Return what the settings of a bus say."""
        return cls(
            count=settings.max_dead,
            size=settings.max_dead_bytes,
            unreadable=settings.max_dead_unreadable,
            age=settings.max_dead_age,
        )


class DeadLetterBounds:
    """Says which letters of one channel are kept.

    Args:
        count_there: asks the broker how many lie there; may wait.
        now: monotonic seconds.
        name: topic and channel, for people.
    """

    def __init__(self, most: MaxDead, count_there: Callable[[], int], now: Callable[[], float], name: str) -> None:
        self.dropped = 0
        """Letters that were not kept."""
        self._most = most
        self._count_there = count_there
        self._now = now
        self._name = name
        self._there = 0
        self._asked_at: float | None = None
        self._is_asking = False
        self._letters = 0
        self._bytes = 0
        self._unreadable = 0
        self._hour = now()
        self._said_at: float | None = None

    def admits(self, size: int, *, is_event: bool) -> bool:
        """Whether a letter of `size` bytes is kept; counted as there if so."""
        now = self._now()
        if now - self._hour >= _HOUR:
            self._hour, self._unreadable = now, 0
        if self._asked_at is None or now - self._asked_at >= _ASK_EVERY:
            self._ask(now)
        mean = self._bytes / self._letters if self._letters else size
        most = self._most
        is_full = self._there >= most.count or self._there * mean + size > max(most.size, size)
        is_full = is_full or (not is_event and self._unreadable >= most.unreadable)
        if is_full:
            self.dropped += 1
            if self.dropped % SAMPLE != 1:
                self._say(now)
                return False
        if not is_event:
            self._unreadable += size
        self._there += 1
        self._letters += 1
        self._bytes += size
        return True

    def _ask(self, now: float) -> None:
        self._asked_at = now
        if not self._is_asking:
            self._is_asking = True
            gevent.spawn(self._look)

    def _look(self) -> None:
        try:
            self._there = self._count_there()
        except Exception as error:  # then what is known stands
            log.debug("%s: the broker does not say how many dead letters there are: %s", self._name, error)
        finally:
            self._is_asking = False

    def _say(self, now: float) -> None:
        if self._said_at is None or now - self._said_at >= _SAY_EVERY:
            self._said_at = now
            log.error(
                "%s has all the dead letters that it may keep (%d letters, or %d bytes in an hour of what is no event): "
                "%d were counted and dropped, one in %d is kept; look at them with `eventbus dead list`, then replay, "
                "discard or prune them, or raise EVENTBUS_MAX_DEAD",
                self._name,
                self._most.count,
                self._most.unreadable,
                self.dropped,
                SAMPLE,
            )
