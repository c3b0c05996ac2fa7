"""A round: what went into one transaction, and who waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from gevent.event import AsyncResult

from eventbus.engines.sql.delivery import Taking
from eventbus.engines.sql.leasing import Ask, Look, Settlement
from eventbus.engines.sql.session import Session
from eventbus.engines.sql.subscription import Channel, SqlSubscription


class Append:
    """Messages of one topic that a greenlet publishes together.

    Attributes:
        is_taken: whether a transaction has them.
        is_dropped: whether nobody waits for them any more, so that none may take them.
    """

    __slots__ = ("is_dropped", "is_taken", "messages", "size", "ticket", "topic")

    def __init__(self, topic: str, messages: Sequence[tuple[float, bytes]], size: int) -> None:
        self.topic = topic
        self.messages = messages
        self.size = size
        self.ticket: AsyncResult[None] = AsyncResult()
        self.is_taken = self.is_dropped = False


class Chore:
    """Other work on the database."""

    __slots__ = ("_error", "_result", "_work", "durable", "is_dropped", "ticket")

    def __init__(self, work: Callable[[Session], Any], durable: bool) -> None:
        self._work = work
        self._error: Exception | None = None
        self._result: Any = None
        self.durable = durable
        self.is_dropped = False
        self.ticket: AsyncResult[Any] = AsyncResult()

    def do(self, session: Session) -> None:
        """Do it in a round's transaction."""
        self._result = self._work(session)

    def confirm(self) -> None:
        """Its transaction is committed."""
        self.ticket.set(self._result)


class Round:
    """What one transaction did; see the module's docstring."""

    def __init__(self) -> None:
        self.now = 0.0
        self.appends: list[Append] = []
        self.chores: list[Chore] = []
        self.settlements: list[tuple[Taking, Settlement]] = []
        self.looks: list[tuple[Channel, Look, list[tuple[SqlSubscription, Ask]]]] = []

    @property
    def is_begun(self) -> bool:
        """Whether the transaction began."""
        return self.now > 0

    def collect(self, waiting: deque[Append], most: int, most_bytes: float) -> None:
        """Take what waits, up to a number and a size; one is taken whatever its size."""
        while waiting and most > 0 and (most_bytes > 0 or not self.appends):
            append = waiting.popleft()
            if append.is_dropped:
                continue
            append.is_taken = True
            self.appends.append(append)
            most -= len(append.messages)
            most_bytes -= append.size

    def by_topic(self) -> dict[str, list[tuple[float, bytes]]]:
        """Return the messages to append."""
        found: dict[str, list[tuple[float, bytes]]] = {}
        for append in self.appends:
            found.setdefault(append.topic, []).extend(append.messages)
        return found

    def confirm(self) -> None:
        """Tell who waits that it is committed."""
        for append in self.appends:
            append.ticket.set(None)
        for chore in self.chores:
            chore.confirm()

    def undo(self) -> list[Channel]:
        """Have what was answered written again later; return the channels that were looked at."""
        for taking, settlement in self.settlements:
            taking.take_back(settlement)
        return [channel for channel, _, _ in self.looks]

    def fail(self, error: Exception) -> None:
        """Tell who waits that it is not."""
        for append in self.appends:
            append.ticket.set_exception(error)
        for chore in self.chores:
            chore.ticket.set_exception(error)
