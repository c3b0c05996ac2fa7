"""Intake: what all subscriptions of one process hold together, in bytes, and since when its hub is known to be awake."""

from __future__ import annotations

import time
from typing import Protocol

MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024


class Holder(Protocol):
    """A connection whose RDY the bytes cut."""

    def flush_soon(self) -> None: ...


class Intake:
    """Counts the bytes of all deliveries that are held and not answered.

    RDY counts messages, so each connection asks here how many more of the size that it saw lately there is room for. What
    nsqd has sent already comes all the same: the sum can pass the limit by what lies in the sockets' buffers, and by one
    message for each connection, so that no topic waits for another one's handlers.

    Attributes:
        limit: bytes.
        used: bytes that are held now.
        awake: monotonic instant at which the hub was surely running last.
    """

    __slots__ = ("_cut", "awake", "limit", "used")

    def __init__(self, limit: int = MAX_IN_FLIGHT_BYTES) -> None:
        self.limit = limit
        self.used = 0
        self.awake = time.monotonic()
        self._cut: set[Holder] = set()

    def room(self, mean: float) -> int:
        """Return how many more messages of `mean` bytes there is room for."""
        return int(max(self.limit - self.used, 0) / mean) if mean else self.limit

    def cut(self, holder: Holder) -> None:
        """Take note of a connection that could hold more if there were room."""
        self._cut.add(holder)

    def freed(self) -> None:
        """Let the connections that were cut ask again, once there is room worth it."""
        if self._cut and self.used <= 0.75 * self.limit:
            waiting, self._cut = self._cut, set()
            for each in waiting:
                each.flush_soon()
