"""Unbegun: deliveries that the engine took back before anybody began to work on them: a connection was lost, or time was up.

They come again with a higher count, and this process knows why. What another process lost it cannot know.
"""

from __future__ import annotations

from collections import OrderedDict

from eventbus.engines.base import Delivery

_REMEMBERED = 10_000


class Unbegun:
    """Counts, by the bytes of a message, the deliveries that were no run."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: OrderedDict[int, int] = OrderedDict()

    def note(self, delivery: Delivery) -> None:
        """Take note of a delivery that was taken back."""
        key = hash(delivery.body)
        self.counts[key] = self.counts.pop(key, 0) + 1
        if len(self.counts) > _REMEMBERED:
            self.counts.popitem(last=False)

    def attempt(self, delivery: Delivery) -> int:
        """Return the number of the run that this delivery is, as far as this process knows."""
        return max(delivery.attempts - self.counts.get(hash(delivery.body), 0), 1)
