"""Batches: gather items until there are enough or the first has waited long enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from eventbus.handlers.binding import Batch
from eventbus.runtime.clock import Clock, Timer

T = TypeVar("T")


class Batcher(Generic[T]):
    """Gathers items into lists of `batch.size`; `release` gets each list and must not block."""

    def __init__(self, batch: Batch, clock: Clock, release: Callable[[Sequence[T]], None]) -> None:
        self.items: list[T] = []
        self._batch = batch
        self._clock = clock
        self._release = release
        self._timer: Timer | None = None

    def add(self, item: T) -> None:
        """Take one item."""
        self.items.append(item)
        if len(self.items) >= self._batch.size:
            self._flush()
        elif self._timer is None:
            self._timer = self._clock.call_later(self._batch.wait, self._flush)

    def _flush(self) -> None:
        items = self.cancel()
        if items:
            self._release(items)

    def cancel(self) -> list[T]:
        """Return what was gathered and forget it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        items, self.items = self.items, []
        return items
