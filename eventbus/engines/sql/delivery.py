"""Deliveries, and the takings that they came with: what is answered is gathered here until it is written down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from eventbus.engines.sql.leasing import Settlement


class Holder(Protocol):
    """What a delivery needs of the subscriber that holds it."""

    max_delay: float

    @property
    def wall_clock(self) -> Callable[[], float]: ...

    def answered(self, delivery: SqlDelivery) -> None: ...

    def came_back(self, due: float) -> None: ...

    def prolong(self, delivery: SqlDelivery) -> float: ...


class Taking:
    """What one subscriber took in one step: a lease of a run, or some exceptions.

    Args:
        first: id of the run's first message; 0 for exceptions.
        done: the run's bits, set where nothing is to be answered.
        until: when it goes to others, in seconds since 1970.
        on_change: called when there is something to write down.
    """

    __slots__ = (
        "_back",
        "_finished",
        "_on_change",
        "_requeued",
        "_timed_out",
        "_touched",
        "channel",
        "done",
        "first",
        "is_changed",
        "is_lost",
        "remaining",
        "token",
        "until",
    )

    def __init__(
        self,
        token: str,
        channel: int,
        *,
        first: int,
        done: bytearray,
        remaining: int,
        until: float,
        on_change: Callable[[Taking], None],
    ) -> None:
        self.token = token
        self.channel = channel
        self.first = first
        self.done = done
        self.remaining = remaining
        self.until = until
        self.is_changed = False
        self.is_lost = False
        self._on_change = on_change
        self._clear()

    def _clear(self) -> None:
        self._finished: list[int] = []
        self._back: list[tuple[int, int, float]] = []
        self._touched: list[tuple[int, float]] = []
        self._requeued = 0
        self._timed_out = 0

    def finish(self, id: int) -> None:
        """A message is done."""
        if self.first:
            offset = id - self.first
            self.done[offset >> 3] |= 1 << (offset & 7)
            self.remaining -= 1
        else:
            self._finished.append(id)
        if not self.is_changed:
            self._change()

    def put_back(self, id: int, attempts: int, due: float, *, is_late: bool) -> None:
        """A message comes again at `due` (0 for at once)."""
        if self.first:
            offset = id - self.first
            self.done[offset >> 3] |= 1 << (offset & 7)
            self.remaining -= 1
        self._back.append((id, attempts, due))
        if is_late:
            self._timed_out += 1
        else:
            self._requeued += 1
        self._change()

    def touch(self, id: int, until: float) -> None:
        """A message is still worked on."""
        if self.first:
            if until - self.until < 0.05:
                return
            self.until = until
        else:
            self._touched.append((id, until))
        self._change()

    def _change(self) -> None:
        if not self.is_changed:
            self.is_changed = True
            self._on_change(self)

    def settlement(self) -> Settlement:
        """Return what is to be written down now; it counts as written."""
        made = Settlement(
            self.token,
            self.channel,
            bool(self.first),
            bytes(self.done),
            self.remaining,
            self.until,
            self._finished,
            self._back,
            self._touched,
            self._requeued,
            self._timed_out,
        )
        self.is_changed = False
        self._clear()
        return made

    def take_back(self, made: Settlement) -> None:
        """Have it to be written again: its transaction failed."""
        self._finished = made.finished + self._finished
        self._back = made.back + self._back
        self._touched = made.touched + self._touched
        self._requeued += made.requeued
        self._timed_out += made.timed_out
        self._change()


class SqlDelivery:
    """One message in one subscriber's hands; see `Delivery`."""

    __slots__ = ("_taking", "attempts", "body", "deadline", "held_since", "holder", "id", "timestamp")

    def __init__(self, id: int, attempts: int, at: float, body: bytes, taking: Taking, holder: Holder) -> None:
        self.id = id
        self.attempts = attempts
        self.timestamp = at
        self.body = body
        self.held_since = 0.0
        self.deadline = 0.0
        self.holder: Holder | None = holder
        self._taking = taking

    @property
    def size(self) -> int:
        return len(self.body)

    @property
    def is_held(self) -> bool:
        return self.holder is not None and not self._taking.is_lost

    def finish(self) -> None:
        holder = self.holder
        if holder is not None:
            self.holder = None
            self._taking.finish(self.id)
            holder.answered(self)

    def requeue(self, delay: float = 0.0) -> None:
        self._put_back(self.attempts, delay)

    def give_back(self) -> bool:
        self._put_back(self.attempts - 1, 0.0)
        return True

    def expire(self) -> None:
        """Its time is up."""
        self._put_back(self.attempts, 0.0, is_late=True)

    def _put_back(self, attempts: int, delay: float, *, is_late: bool = False) -> None:
        holder = self.holder
        if holder is not None:
            self.holder = None
            due = holder.wall_clock() + min(delay, holder.max_delay) if delay > 0 else 0.0
            self._taking.put_back(self.id, attempts, due, is_late=is_late)
            holder.answered(self)
            holder.came_back(due)

    def touch(self) -> None:
        holder = self.holder
        if holder is not None:
            self._taking.touch(self.id, holder.prolong(self))
