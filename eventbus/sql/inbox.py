"""Inbox: an event has its effect once, however often it is delivered.

The claim (channel, event id) is a row written in the same transaction as the handler's own rows. A redelivered event finds
the claim and is finished without running the handler; a handler that fails takes its claim back with everything else.
What the handler returns goes through the outbox, in the same transaction again: at no moment is only a part true.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.context import Context
from eventbus.errors import ConfigurationError, HandlerResultError
from eventbus.event import Event
from eventbus.runtime.failpoints import hit
from eventbus.sql.database import Database, after_commit, insert_once
from eventbus.sql.messenger import Messenger
from eventbus.sql.outbox import Outbox
from eventbus.sql.receipts import REPLY
from eventbus.sql.tables import inbox, receipts_due

if TYPE_CHECKING:
    from eventbus.bus import Bus


class SqlContext(Context):
    """The context of a handler that runs through an inbox."""

    __slots__ = ("_outbox", "connection")

    _outbox: Outbox | None
    connection: Connection
    """Its transaction holds the claim; do the handler's work with it, and leave commit and rollback to the inbox."""

    @classmethod
    def of(cls, context: Context, connection: Connection, outbox: Outbox | None) -> SqlContext:
        """Return the same context with a connection."""
        mine = cls.__new__(cls)
        for base in Context.__slots__:
            setattr(mine, base, getattr(context, base))
        mine.connection = connection
        mine._outbox = outbox
        return mine

    def publish(self, event: Event, **options: Any) -> str:
        """Add an event to the inbox's outbox, in this transaction; same options as `Outbox.add`."""
        if self._outbox is None:
            raise HandlerResultError(
                f"{self.service}: publishing in a handler with an inbox needs an outbox; give Inbox(..., outbox=...)"
            )
        return self._outbox.add(self.connection, event, **options)


class Inbox:
    """Runs handlers in transactions that also claim the event: `@service.on(OrderPlaced, inbox=inbox)`.

    Args:
        database: where the handlers' own tables lie too.
        outbox: takes what handlers return or publish; needed if they do.
        keep: seconds for which claims are kept. A double that comes later has its effect again.
        poll: seconds between two looks for receipts that other processes left.
    """

    def __init__(
        self, database: Database, *, outbox: Outbox | None = None, keep: float = 30 * 86400.0, poll: float = 1.0
    ) -> None:
        if keep <= 0 or not 0 < poll <= 60:
            raise ConfigurationError(f"Inbox(keep={keep!r}, poll={poll!r}): give keep above 0 s, and 0 < poll <= 60 s")
        if outbox is not None and outbox.database is not database:
            raise ConfigurationError("Inbox and its outbox must share one Database: they share the transaction")
        self.database = database
        self.keep = keep
        self.poll = poll
        self.doubles = 0
        """Deliveries that found their event claimed."""
        self.bindings: set[tuple[str, str, str]] = set()
        """Topic, type name and channel of each handler that was started and runs through this inbox."""
        self._outbox = outbox
        self._messenger: Messenger | None = None
        self._time: Callable[[], float] | None = None

    def __repr__(self) -> str:
        return f"<Inbox in {self.database!r}>"

    @property
    def context_type(self) -> type[SqlContext]:
        return SqlContext

    # -- handling ---------------------------------------------------------------------------------------------------

    def handle(
        self, contexts: Sequence[Context], run: Callable[[Sequence[int], Sequence[Context]], Sequence[Event]]
    ) -> None:
        """Run a handler on the events that had no effect yet; see the module's docstring."""
        self.database.transact(lambda connection: self._handle(connection, contexts, run))
        hit("after_commit_before_finish")

    def _handle(
        self,
        connection: Connection,
        contexts: Sequence[Context],
        run: Callable[[Sequence[int], Sequence[Context]], Sequence[Event]],
    ) -> None:
        fresh = [position for position, context in enumerate(contexts) if self._claim(connection, context)]
        self.doubles += len(contexts) - len(fresh)
        hit("after_claim")
        if fresh:
            mine = [SqlContext.of(contexts[position], connection, self._outbox) for position in fresh]
            for event in run(fresh, mine):
                mine[0].publish(event)
        # also for a double: that it came again means that the origin does not know
        self._add_receipts(connection, contexts)
        hit("before_commit")

    def _claim(self, connection: Connection, context: Context) -> bool:
        assert self._time is not None, "started with the bus"
        row = {"channel": context.channel, "event_id": context.event_id, "claimed_at": self._time()}
        return insert_once(connection, inbox, [row]) == 1

    def _add_receipts(self, connection: Connection, contexts: Sequence[Context]) -> None:
        rows = []
        for context in contexts:
            reply = (context.envelope.extensions or {}).get(REPLY)
            if isinstance(reply, str) and 0 < len(reply) <= 64:
                rows.append(
                    {
                        "reply_topic": reply,
                        "topic": context.topic,
                        "channel": context.channel,
                        "event_id": context.event_id,
                    }
                )
        if rows and self._messenger is not None:
            connection.execute(sa.insert(receipts_due), rows)
            after_commit(connection, self._messenger.wake)

    def parked(self, context: Context) -> None:
        """Tell the origin that an event is a dead letter now: it must not send it again and again."""
        hit("after_park_before_receipt")
        try:
            self.database.transact(lambda connection: self._add_receipts(connection, [context]))
        except Exception as error:  # then it comes once more, and is parked once more
            if self._messenger is not None:
                self._messenger.complain(error)

    # -- as an attachment -------------------------------------------------------------------------------------------

    def bind(self, topic: str, type_name: str, channel: str) -> None:
        """Learn that a handler which runs through this inbox is started, and tell the origin of its events."""
        self.bindings.add((topic, type_name, channel))
        if self._messenger is not None:
            self._messenger.wake()

    def start(self, bus: Bus) -> None:
        """Introduce the channels to the origins of their events, and begin to send receipts."""
        self._time = bus.engine.clock.time
        if self._outbox is not None:
            bus.attach(self._outbox)
        self._messenger = Messenger(repr(self), self.database, bus, bindings=self.bindings, poll=self.poll, keep=self.keep)

    def stop_intake(self) -> None:
        """The bus itself stops the deliveries."""

    def stop(self, timeout: float) -> None:
        """Send the receipts that are due."""
        if self._messenger is not None:
            self._messenger.stop(timeout)
            self._messenger = None

    def is_idle(self) -> bool:
        return self._messenger is None or self._messenger.is_idle()
