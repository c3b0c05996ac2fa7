"""Ready: how many deliveries each connection may hold. Arithmetic only, no I/O.

RDY is nsqd's window: it pushes while fewer deliveries than RDY are unanswered. Three questions are answered here. How is a
subscription's max in flight shared among its connections? How is it shared by turns where there is too little for all? And
how far below its share does a connection set RDY, since nsqd flushes its output at once to a client that is not ready for
more, and otherwise only when its buffer is full or old:

    quiet    RDY is one above what is held: each message fills the window, so that it is flushed at once
    flood    RDY grows fourfold, up to the share, each time a read came right after an answer and filled the window,
             or brought 8 KiB: now throughput counts
    quiet    again after a millisecond without data: an RDY at or below what nsqd has sent flushes the tail of a burst
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SOON = 0.001
"""Seconds within which a read counts as following the last answer, and after which no data mean quiet."""
MUCH = 8192
"""Bytes of one read that mean a flood."""
_GROWTH = 4
_BUSY, _IDLE = 8, 1
"""Weights of connections that have deliveries and of those that seem to have none, where they take turns."""


def is_scarce(total: int, connections: int) -> bool:
    """Whether so few deliveries must be shared by turns."""
    return 0 < total < 2 * connections


def shares(total: int, wants: Sequence[int | None]) -> list[int]:
    """Return how many of `total` deliveries each connection should be allowed; the sum is `total`.

    What connections that are not busy do not want is lent to those that are; each keeps a quarter of an even share at least,
    and never less than one, so that the first messages of a burst find room.

    Args:
        wants: how many each can use; None for as many as it gets.
    """
    count = len(wants)
    if not count:
        return []
    least = max(1, total // (4 * count))
    granted = [0] * count
    open_ones = list(range(count))
    left = total
    while open_ones:
        even = left // len(open_ones)
        content = [index for index in open_ones if (want := wants[index]) is not None and max(want, least) <= even]
        if not content:
            break
        for index in content:
            granted[index] = min(max(wants[index] or 0, least), left)
            left -= granted[index]
            open_ones.remove(index)
    among = open_ones or list(range(count))
    each, extra = divmod(left, len(among))
    for place, index in enumerate(among):
        granted[index] += each + (1 if place < extra else 0)
    return granted


class Turns:
    """Shares by turns, where there are fewer than two deliveries for each connection: go-nsq calls it RDY redistribution.

    Each connection earns by its weight and pays for what it is given, so that nobody starves, and those that have nothing to
    deliver cost little of the time.
    """

    def __init__(self) -> None:
        self._earned: dict[Any, float] = {}

    def next(self, total: int, busy: dict[Any, bool]) -> dict[Any, int]:
        """Return the next round's share of each connection; the sum is `total`."""
        self._earned = {key: self._earned.get(key, 0.0) for key in busy}
        if not busy:
            return {}
        weights = {key: _BUSY if is_busy else _IDLE for key, is_busy in busy.items()}
        pay = sum(weights.values()) / total
        given = dict.fromkeys(busy, 0)
        for key, weight in weights.items():
            self._earned[key] += weight
        for _ in range(total):
            # an even spread first: a second delivery for one is worth less than a first one for another
            key = max(given, key=lambda each: self._earned[each] - pay * given[each])
            given[key] += 1
        for key, count in given.items():
            self._earned[key] -= pay * count
        return given


def grant(total: int, wanted: Sequence[int], allowed: Sequence[int], in_flight: Sequence[int]) -> list[int]:
    """Return how far each connection may go towards what is wanted, so that never more than `total` are in flight.

    What is lowered is lowered at once; what is raised waits until the deliveries of lowered ones are answered.
    """
    usage = [max(min(want, may), held) for want, may, held in zip(wanted, allowed, in_flight, strict=True)]
    spare = total - sum(usage)
    granted: list[int] = []
    for want, may, used in zip(wanted, allowed, usage, strict=True):
        if want <= may:
            granted.append(want)
            continue
        step = min(max(want - used, 0), max(spare, 0))
        spare -= step
        # a connection that holds more than it was allowed is not lowered by being raised
        granted.append(max(may, min(want, used + step)))
    return granted


class Window:
    """The RDY of one connection."""

    __slots__ = ("credit", "limit")

    def __init__(self) -> None:
        self.limit = 0
        self.credit = 1

    def ready(self, in_flight: int) -> int:
        """Return the RDY that is right now."""
        return min(self.limit, in_flight + self.credit)

    def received(self, in_flight: int, ready: int, size: int, since_answer: float) -> bool:
        """Take note of a read of `size` bytes, `since_answer` seconds after the last answer; return whether RDY grows."""
        if self.credit < self.limit and (size >= MUCH or (in_flight >= ready and since_answer < SOON)):
            self.credit = min(self.limit, self.credit * _GROWTH)
            return True
        return False

    def quiet(self) -> None:
        """Take note that no data came for a while."""
        self.credit = 1
