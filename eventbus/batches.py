"""Batches: gather jobs until there are enough or the first has waited long enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from eventbus.clock import Clock, Timer
from eventbus.service import Batch

T = TypeVar("T")


class Batcher(Generic[T]):
    """Gathers jobs into lists of `batch.size`; `release` gets each list and must not block."""

    def __init__(self, batch: Batch, clock: Clock, release: Callable[[Sequence[T]], None]) -> None:
        self.jobs: list[T] = []
        self._batch = batch
        self._clock = clock
        self._release = release
        self._timer: Timer | None = None

    def add(self, job: T) -> None:
        """Take one job."""
        self.jobs.append(job)
        if len(self.jobs) >= self._batch.size:
            self._flush()
        elif self._timer is None:
            self._timer = self._clock.call_later(self._batch.wait, self._flush)

    def _flush(self) -> None:
        jobs = self.cancel()
        if jobs:
            self._release(jobs)

    def cancel(self) -> list[T]:
        """Return what was gathered and forget it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        jobs, self.jobs = self.jobs, []
        return jobs
