"""Quota: how many deliveries a bus may still take, for a worker that ends after so many."""

from __future__ import annotations

from collections.abc import Sequence

import gevent.event

from eventbus.engines.base import Delivery


class DeliveryQuota:
    """Admits `most` deliveries."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._spent = gevent.event.Event()

    @property
    def is_spent(self) -> bool:
        """Whether all were taken."""
        return self._left == 0

    def admit(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Return the first ones, those that may be taken; the others are to be given back."""
        admitted = deliveries[: self._left]
        self._left -= len(admitted)
        if self._left == 0:
            self._spent.set()
        return admitted

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all were taken; return whether they were."""
        return bool(self._spent.wait(timeout))
