"""Turns: how the greenlets that wait for answers of one connection go on when they come.

Theory of operation. One answer frees a whole batch of publishers, and each of them soon publishes and waits again. So each
that begins to wait switches straight to the next one that was answered, and only the last to the hub: one switch for each
publisher instead of two. After `_IN_A_ROW` of them the hub has its turn, since sockets, timers and signals must not wait for
all. Who was killed or thrown out meanwhile has left, and is passed over; who raises takes nobody with it, since the hub's
next round is planned before anybody goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from gevent import getcurrent
from gevent.hub import get_hub

_IN_A_ROW = 64


class Waiter:
    """A greenlet that waits until the monotonic `deadline`; it goes on once, and is never switched to after that."""

    __slots__ = ("deadline", "greenlet", "is_answered", "is_waiting")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.greenlet: Any = getcurrent()
        self.is_waiting = True
        self.is_answered = False


class Turns:
    """The greenlets of one hub that wait for one connection."""

    __slots__ = ("_answered", "_left", "_loop")

    def __init__(self) -> None:
        self._loop = get_hub().loop
        self._answered: deque[Waiter] = deque()
        self._left = 0

    def wait(self, waiter: Waiter) -> None:
        """Let others go on, until it is this one's turn. Raises whatever is thrown into the greenlet meanwhile."""
        try:
            while not waiter.is_answered:
                following = self._following() if self._left else None
                if following is None:
                    get_hub().switch()
                else:
                    self._left -= 1
                    following.greenlet.switch()
        finally:
            waiter.is_waiting = False

    def come(self, waiters: Sequence[Waiter]) -> None:
        """Let these go on, once the hub's loop comes round."""
        answered = self._answered
        if waiters and not answered:
            self._loop.run_callback(self._go_on)
        for waiter in waiters:
            if not waiter.is_answered:
                waiter.is_answered = True
                answered.append(waiter)

    def _following(self) -> Waiter | None:
        """Return the next one that was answered and is still there."""
        answered = self._answered
        while answered:
            waiter = answered.popleft()
            if waiter.is_waiting:
                return waiter
        return None

    def _go_on(self) -> None:
        """Let some go on. Runs in the hub."""
        following = self._following()
        if following is None:
            return
        if self._answered:
            self._loop.run_callback(self._go_on)
        self._left = _IN_A_ROW
        following.greenlet.switch()
