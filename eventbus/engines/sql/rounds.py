"""A round: what went into one transaction, and who waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from gevent.event import AsyncResult

from eventbus.engines.sql import appending, leasing
from eventbus.engines.sql.delivery import Taking
from eventbus.engines.sql.leasing import Ask, Look, Settlement
from eventbus.engines.sql.session import Session
from eventbus.engines.sql.subscription import Channel, SqlSubscription


class Append:
    """Messages of one topic that a greenlet publishes together.

    Attributes:
        is_taken: whether a transaction has them.
        is_dropped: whether nobody waits for them any more, so that no transaction may take them.
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
        self.is_begun = False
        self.asks: list[tuple[Channel, list[tuple[SqlSubscription, Ask]]]] = []
        self.appends: list[Append] = []
        self.chores: list[Chore] = []
        self.settlements: list[tuple[Taking, Settlement]] = []
        self.looks: list[tuple[Channel, Look, list[tuple[SqlSubscription, Ask]]]] = []

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

    def collect_chores(self, waiting: deque[Chore], *, durable: bool) -> None:
        """Take the chores that wait, up to the first one that must be on the disk where this round need not be."""
        while waiting and (durable or not waiting[0].durable):
            chore = waiting.popleft()
            if not chore.is_dropped:
                self.chores.append(chore)

    def work(self, session: Session, sender: str) -> None:
        """What one transaction does. May run in a thread: it touches nothing but this round."""
        self.now = session.now
        for topic, messages in sorted(self.by_topic().items()):
            appending.append(session, topic, messages)
        touched = {settlement.channel for _, settlement in self.settlements if not settlement.is_quiet}
        session.lock_channels(sorted(touched | {channel.number for channel, _ in self.asks}))
        for _, settlement in self.settlements:
            leasing.settle(session, settlement)
        for chore in self.chores:
            chore.do(session)
        for channel, asks in self.asks:
            self.looks.append((channel, leasing.take(session, channel.number, [ask for _, ask in asks]), asks))
        if self.appends or touched or any(chore.durable for chore in self.chores):
            session.notify(sender)

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
        return [channel for channel, _ in self.asks]

    def fail(self, error: Exception) -> None:
        """Tell who waits that it is not."""
        for append in self.appends:
            append.ticket.set_exception(error)
        for chore in self.chores:
            chore.ticket.set_exception(error)
