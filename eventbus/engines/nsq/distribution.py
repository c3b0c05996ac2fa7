"""Distribution: max in flight of one subscription, shared among its connections as they need it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from eventbus.engines.nsq.handshake import Features
from eventbus.engines.nsq.ready import Turns, Window, grant, is_scarce, shares

_TURN = 0.25
"""Seconds of one turn of a connection that has deliveries; one without loses its turn at the next tick."""


class Sharer(Protocol):
    """A connection, as far as its share goes.

    Attributes:
        peak: most deliveries held at a time since `peak` was set last.
        last_message: monotonic instant.
        owes: set while others wait for what is held here above the share.
    """

    features: Features
    window: Window
    peak: int
    last_message: float
    owes: bool

    @property
    def in_flight(self) -> int: ...

    def allow(self, limit: int) -> None: ...


class Distribution:
    """Decides who may hold how many.

    With enough for all, what idle connections do not need is lent to the busy ones. With fewer than two for each connection
    they take turns: a turn begins once all that it grants is granted, that is, once the deliveries of those whose turn is
    over were answered.

    Attributes:
        total: max in flight.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._turns = Turns()
        self._wanted: dict[Any, int] = {}
        self._granted_at = 0.0
        self._was_busy: dict[Any, bool] = {}

    def apply(self, connections: Sequence[Sharer]) -> None:
        """Give each its share, as far as what others still hold allows it."""
        if not connections:
            return
        if is_scarce(self.total, len(connections)):
            if self._wanted.keys() != set(connections) or sum(self._wanted.values()) != self.total:
                self._wanted = self._turns.next(self.total, {each: self._was_busy.get(each, True) for each in connections})
                self._granted_at = 0.0
            wanted = [self._wanted[each] for each in connections]
        else:
            self._wanted = {}
            wants = [None if each.peak >= 0.85 * each.window.limit > 0 else 2 * each.peak for each in connections]
            wanted = shares(self.total, wants) if self.total else [0] * len(connections)
        wanted = [min(share, each.features.max_rdy) for share, each in zip(wanted, connections, strict=True)]
        allowed = [each.window.limit for each in connections]
        granted = grant(self.total, wanted, allowed, [each.in_flight for each in connections])
        is_waited_for = granted != wanted
        for connection, limit in sorted(
            zip(connections, granted, strict=True), key=lambda pair: pair[1] - pair[0].window.limit
        ):
            connection.allow(limit)  # what is lowered first
            connection.owes = is_waited_for and connection.in_flight > limit

    def is_due(self, connections: Sequence[Sharer], now: float, *, is_slow: bool) -> bool:
        """Whether shares should be looked at again; ends the turn that is over."""
        if not is_scarce(self.total, len(connections)):
            if is_slow:
                for each in connections:
                    each.peak = max(each.in_flight, each.peak // 2)
            return is_slow
        if any(self._wanted.get(each, 0) > each.window.limit for each in connections):
            return is_slow  # what this turn grants is still held by others
        if not self._granted_at:
            self._granted_at = now
            return False
        active = [each for each in connections if self._wanted.get(each)]
        for each in connections:
            if each in active:
                self._was_busy[each] = each.in_flight > 0 or each.last_message >= self._granted_at
        is_used = any(self._was_busy[each] for each in active)
        lasts = _TURN if is_used or not any(self._was_busy.get(each) for each in connections) else 0.0
        if now - self._granted_at >= lasts:
            self._was_busy = {each: self._was_busy.get(each, True) for each in connections}
            self._wanted = {}
            return True
        return False
