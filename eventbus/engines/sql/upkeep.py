"""Upkeep: what a process does now and then for all: its subscribers' signs of life, and removing what is old."""

from __future__ import annotations

import math

from eventbus.engines.sql import administration
from eventbus.engines.sql.channels import Channels
from eventbus.engines.sql.requests import Requests
from eventbus.engines.sql.retention import Retention
from eventbus.engines.sql.rounds import Chore

_BEAT = 10.0


class Upkeep:
    """That of one store.

    Args:
        retain: seconds for which the log keeps what is finished.
    """

    def __init__(self, retain: float, channels: Channels, requests: Requests) -> None:
        self._retention = Retention(retain)
        self._channels = channels
        self._requests = requests
        self._beat_at = math.inf
        self._cleaning: Chore | None = None

    @property
    def due_at(self) -> float:
        """Monotonic instant of what comes next."""
        if self._cleaning is not None and self._cleaning.ticket.ready():
            return 0.0
        return min(self._beat_at, self._retention.due_at)

    def begin(self, now: float) -> None:
        """Work from the monotonic instant `now` on."""
        self._retention.begin(now)

    def joined(self, now: float) -> None:
        """There is a subscriber."""
        self._beat_at = min(self._beat_at, now + _BEAT)

    def tick(self, now: float) -> None:
        """Have done what is due."""
        if self._cleaning is not None and self._cleaning.ticket.ready():
            self._cleaning = None
            self._retention.plan(now)
        if now >= self._retention.due_at:
            self._retention.due_at = math.inf
            self._cleaning = Chore(self._retention.step, durable=False)
            self._requests.chores.append(self._cleaning)
        if now >= self._beat_at:
            tokens = self._channels.tokens()
            self._beat_at = now + _BEAT if tokens else math.inf
            if tokens:
                self._requests.chores.append(Chore(lambda session: administration.beat(session, tokens), durable=False))
