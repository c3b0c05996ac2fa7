"""Ready: how many deliveries each connection may hold. Arithmetic only, no I/O.

RDY is nsqd's window: it pushes while fewer deliveries than RDY are unanswered. Two questions are answered here. How is a
subscription's max in flight shared among its connections? And how far below its share does a connection set RDY, since nsqd
flushes its output at once to a client that is not ready for more, and otherwise only when its buffer is full or old:

    quiet    RDY is one above what is held: each message fills the window, so that it is flushed at once
    flood    RDY grows fourfold, up to the share, each time a read came right after an answer and filled the window,
             or brought 8 KiB: now throughput counts
    quiet    again after a millisecond without data: an RDY at or below what nsqd has sent flushes the tail of a burst
"""

from __future__ import annotations

from collections.abc import Sequence

SOON = 0.001
"""Seconds within which a read counts as following the last answer, and after which no data mean quiet."""
MUCH = 8192
"""Bytes of one read that mean a flood."""
_GROWTH = 4


def shares(total: int, connections: int, turn: int) -> list[int]:
    """Return how many of `total` deliveries each of so many connections should be allowed; the sum is `total`.

    With fewer than one each, `total` of them get one; `turn`, which the caller counts up, moves them on: none starves.
    """
    if not connections:
        return []
    each, extra = divmod(total, connections)
    return [each + (1 if (index - turn) % connections < extra else 0) for index in range(connections)]


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
