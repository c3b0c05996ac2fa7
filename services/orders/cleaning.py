"""Cleaning: what is too old leaves the tables in rounds of its own, never in a request."""

from __future__ import annotations

import random

from eventbus import Bus
from eventbus.sql.rounds import Rounds
from services.orders.store import OrderStore

_EVERY = 60.0


class KeyCleaning:
    """Forgets old idempotency keys, in short steps, as long as the bus runs."""

    def __init__(self, store: OrderStore) -> None:
        self._store = store
        self._rounds: Rounds | None = None

    def start(self, bus: Bus) -> None:
        """Begin."""
        self._rounds = Rounds("idempotency keys", self._store.clean, bus.engine.clock, poll=_EVERY, draw=random.random)

    def stop_intake(self) -> None:
        """Nothing comes from outside."""

    def stop(self, timeout: float) -> None:
        """End after the step that is under way."""
        if self._rounds is not None:
            self._rounds.stop(timeout)
            self._rounds = None

    def is_idle(self) -> bool:
        """Whether no step is under way."""
        return self._rounds is None or self._rounds.is_idle()
