"""Prefetch: how many deliveries are taken from the engine: those that handlers can begin soon, and no more.

What waits here for a handler is kept from other workers, and its message timeout runs. So beside those that may run at the
same time only as many are taken as were answered lately: within a second, or a quarter of the message timeout where that is
shorter. What waits for its dead letter is held too, and takes nobody's place. A fast handler soon has as many waiting as it
may; a slow one has nothing waiting that another worker could begin.

While handlers are free, more is asked for than they are: of several brokers one may have all there is, and each of the
others keeps a share of the limit for itself.
"""

from __future__ import annotations

from collections import deque

_FIRST = 8
"""Deliveries that wait before anything is known of the handlers' pace."""
_LATELY = 1.0
"""Seconds."""


class Prefetch:
    """Follows the pace of the handlers of one topic.

    Args:
        runs: deliveries that can be handled at the same time.
        most: deliveries that may be held, whatever the pace.
        message_timeout: seconds.

    Attributes:
        runs: deliveries that can be handled at the same time.
        limit: deliveries that should be held at most now.
    """

    __slots__ = ("_first", "_lately", "_most", "_quiet_since", "_seen", "limit", "runs")

    def __init__(self, runs: int, most: int, message_timeout: float) -> None:
        self._most = most
        self._lately = min(_LATELY, message_timeout / 4)
        self.runs = runs
        self._first = min(runs, _FIRST)
        self._seen: deque[tuple[float, int]] = deque()
        self._quiet_since = 0.0
        self.limit = min(most, runs + self._first)

    def tick(self, now: float, answered: int, *, is_full: bool, parking: int = 0) -> bool:
        """Take note of the pace; return whether `limit` is another now.

        Args:
            now: monotonic time in seconds.
            answered: deliveries that were ever answered.
            is_full: whether no handler is free.
            parking: deliveries that wait for their dead letter.
        """
        seen = self._seen
        if not seen or answered != seen[-1][1] or not is_full:
            self._quiet_since = now
        seen.append((now, answered))
        while len(seen) > 1 and seen[1][0] <= now - self._lately:
            seen.popleft()
        lately = answered - seen[0][1]
        waiting = 1 << (lately - 1).bit_length() if lately else 0  # in steps: each change is told to the engine
        if not is_full or (not lately and now - self._quiet_since < self._lately):
            waiting = max(waiting, self._first)
        limit = min(self._most, self.runs + waiting + parking)
        if limit == self.limit:
            return False
        self.limit = limit
        return True
