"""Outbox: events that are added in the caller's own transaction and published soon after it is committed.

An event is a row beside the caller's own rows: both are there, or neither. A relay publishes it: of this process, once the
outbox is attached to a bus, or of any other process that has one on the same database, as `eventbus relay` does; any of
them may take a row. It survives a broker that is down for hours.

Order: rows are published in the order of their insertion, by each relay. Several relays at a time, retries and PostgreSQL's
sequences, whose numbers are given before the commit, break it at the edges; events carry time and cause for that reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import event as sqlalchemy_event

from eventbus.errors import BusStateError, ConfigurationError
from eventbus.event import Event, event_topic
from eventbus.names import check_name
from eventbus.runtime.clock import SystemClock
from eventbus.sql.adding import Given, Lookout, Unattached, connection_of, insert, row_of
from eventbus.sql.receipts import Receipts

# what only a relay needs is loaded with the first: a program that adds events has neither a bus nor gevent
if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

    from eventbus.bus import Bus
    from eventbus.publishing.publisher import Publisher
    from eventbus.sql.backlog import Backlog
    from eventbus.sql.database import Database
    from eventbus.sql.notifications import Notifications
    from eventbus.sql.relay import Relay
    from eventbus.sql.relay_watch import RelayWatch
    from eventbus.sql.settling import Settling

_DEFAULT = Receipts()


class Outbox:
    """The events of one service on their way out of its database.

    `Outbox(source="billing")` adds events in any program, and a relay elsewhere publishes them (`eventbus relay`). With a
    database, and attached to a bus, it publishes what it and others added there.

    Args:
        database: where the table `eventbus_outbox` lies; needed where this process publishes.
        source: name of the publishing service, outside handlers; the bus's unless given, or EVENTBUS_SOURCE.
        receipts: how to wait for subscribers; None settles a row as soon as the broker confirmed it.
        poll: seconds between two looks for rows that other processes added.
        batch: most rows of one round.
        keep: seconds for which settled rows stay.
        warn_after: seconds for which rows may wait before a program that only adds says in its log that nobody publishes.
        schema: of PostgreSQL's in which the table lies; that of the database's URL unless given.
        listens: hear at once of what other programs add, over a PostgreSQL connection of its own; otherwise by polling.
    """

    def __init__(
        self,
        database: Database | None = None,
        *,
        source: str | None = None,
        receipts: Receipts | None = _DEFAULT,
        poll: float = 1.0,
        batch: int = 500,
        keep: float = 3600.0,
        warn_after: float = 60.0,
        listens: bool = False,
        schema: str | None = None,
    ) -> None:
        if not 0 < poll <= 60 or not 1 <= batch <= 5000 or keep < 0 or warn_after <= 0:
            raise ConfigurationError(
                f"Outbox(poll={poll!r}, batch={batch!r}, keep={keep!r}, warn_after={warn_after!r}): give 0 to 60 s, 1 to "
                "5000, and seconds"
            )
        self._given_database = database
        self.listens = listens
        self.schema = schema if schema is not None or database is None else database.schema
        self.receipts = receipts
        self.poll = poll
        self.batch = batch
        self.keep = keep
        self.source = source
        self._bus: Bus | None = None
        self._publisher: Publisher | None = None
        self._relay: Relay | None = None
        self._settling: Settling | None = None
        self._expected: dict[str, tuple[str, ...]] = {}
        self._watch: RelayWatch | None = None
        self._notifications: Notifications | None = None
        self._unattached: Unattached | None = None
        self._lookout = Lookout(repr(self), warn_after, self.schema)
        self._is_abandoned = False

    def __repr__(self) -> str:
        place = "" if self._given_database is None else f" in {self._given_database!r}"
        return f"<Outbox of {self.source or 'the bus'}{place}>"

    @property
    def database(self) -> Database:
        """Where the table lies.

        Raises:
            ConfigurationError: the outbox was made without, to add alone.
        """
        if self._given_database is None:
            raise ConfigurationError(
                f"Outbox(source={self.source!r}) has no database: it only adds events; for more, give Outbox(database)"
            )
        return self._given_database

    def expect(self, topic: str | type[Event], channels: Iterable[str]) -> None:
        """Wait for these channels' receipts on `topic` from the start, whether they were heard of or not.

        What is waited for does not depend then on what the channels said themselves, and they are never forgotten. Each
        of them must keep an inbox on the topic. Call it before the outbox is attached.

        Raises:
            InvalidNameError: a topic or channel cannot have such a name.
            BusStateError: the outbox is attached already.
        """
        if self._bus is not None:
            raise BusStateError("Outbox.expect after bus.attach(outbox); call it before")
        name = check_name(topic, kind="topic") if isinstance(topic, str) else event_topic(topic)
        self._expected[name] = tuple(sorted({check_name(each, kind="channel") for each in channels}))

    @property
    def expected(self) -> dict[str, tuple[str, ...]]:
        """Channels by topic that are waited for from the start."""
        return dict(self._expected)

    # -- adding -----------------------------------------------------------------------------------------------------

    def add(
        self,
        connection: Given,
        event: Event,
        *,
        delay: float | None = None,
        deliver_at: datetime | None = None,
        expires_in: float | None = None,
        subject: str | None = None,
    ) -> str:
        """Add `event` to the transaction of `connection` and return its id; it is published after the commit.

        Correlation and cause are those of the event being handled, as with `Bus.publish`. The same event object again adds
        nothing. A delay is waited for here and not in the broker, which may forget it.

        Args:
            connection: a SQLAlchemy `Connection` in a transaction, or a `Session`; for those of asyncio see `add_async`.
            delay, deliver_at, expires_in, subject: as of `Bus.publish`.

        Raises:
            EncodeError, MessageTooLargeError: it could never be sent; nothing was added.
            BusStateError: there is no transaction to add to, or the process that attached the outbox was forked.
            ConfigurationError: the database has no table of the outbox; says what makes it.
        """
        self._check_process()
        made = self._publisher if self._bus is not None else self._unattached
        if made is None:
            made = self._unattached = Unattached(self.source)
        joined, session = connection_of(connection)
        now = self._time()
        row = row_of(
            made,
            event,
            now=now,
            wants_receipts=self.receipts is not None,
            delay=delay,
            deliver_at=deliver_at,
            expires_in=expires_in,
            subject=subject,
        )
        is_attached = self._bus is not None
        insert(joined, row, tells=not is_attached, schema=self.schema)
        if not is_attached:
            self._lookout.look(joined, now)
        elif session is not None:
            sqlalchemy_event.listen(session, "after_commit", self._on_commit, once=True)
        else:
            from eventbus.sql.jobs import after_commit

            after_commit(joined, self.wake)
        return str(row["event_id"])

    async def add_async(
        self, connection: AsyncConnection | AsyncSession | async_scoped_session[Any], event: Event, **options: Any
    ) -> str:
        """The same for SQLAlchemy's asyncio: `await outbox.add_async(session, event)`.

        Args:
            connection: an `AsyncConnection` in a transaction, or an `AsyncSession`.
            options: as of `add`, whose errors it raises too.
        """
        run = getattr(connection, "run_sync", None)
        if run is None:
            raise TypeError(
                f"outbox.add_async({type(connection).__name__}): give an AsyncConnection or AsyncSession, or use add"
            )
        added: str = await run(lambda joined: self.add(joined, event, **options))
        return added

    def _on_commit(self, _session: Any) -> None:
        self.wake()

    def wake(self) -> None:
        """Let the relay look at once, as after a commit that it could not see. May be called from any thread."""
        if self._relay is not None:
            self._relay.wake()
            if self._watch is not None:
                self._watch.woken()

    # -- looking ----------------------------------------------------------------------------------------------------

    def backlog(self) -> Backlog:
        """Return what is still to do; one query. Before the outbox is attached, by the machine's clock."""
        self._check_process()
        from eventbus.sql.backlog import backlog_of

        return backlog_of(self.database, self._time())

    def forget(self, topic: str, channel: str) -> None:
        """Wait no more for a channel that is gone for good; what waited for it alone is settled at once."""
        from eventbus.sql.administration import forget

        forget(self.database, topic, channel)
        if self._settling is not None:
            self._settling.look(topic)

    # -- as an attachment -------------------------------------------------------------------------------------------

    def start(self, bus: Bus) -> None:
        """Begin to publish what is there, also from before a crash."""
        from eventbus.sql.notifications import Notifications
        from eventbus.sql.policy import OutboxPolicy
        from eventbus.sql.relay import Relay
        from eventbus.sql.relay_watch import RelayWatch
        from eventbus.sql.settling import Settling

        self._check_process()
        if self._relay is not None:
            raise BusStateError("this outbox is attached to a bus already; make another Outbox on the same database")
        self.database.check_tables()
        source = self.source or bus.source
        self._bus = bus
        self._publisher = bus.make_publisher(source, bus.middleware)
        policy = OutboxPolicy(repr(self), self.database, self.receipts, self.poll, self.batch, self.keep, self._expected)
        self._settling = Settling(policy, bus, source)
        relay = self._relay = Relay(policy, bus, self._publisher, self._settling)
        if isinstance(bus.engine.clock, SystemClock):  # a thread can wait for no other time
            self._watch = RelayWatch(repr(self), lambda: relay.rounds_done, self.poll)
        if self.listens:
            self._notifications = Notifications(self.database, relay.wake)

    def ping(self) -> None:
        """Return if the database answers; raise DatabaseUnreachableError if it does not."""
        self.database.ping()

    def stop_intake(self) -> None:
        """Adding stays possible until the handlers have ended."""

    def stop(self, timeout: float) -> None:
        """Publish what is committed by now, as far as `timeout` seconds allow; the rest waits for the next start."""
        if self._notifications is not None:
            self._notifications.stop()
        if self._relay is not None and self._settling is not None:
            self._relay.stop(timeout)
            self._settling.stop(timeout)
            self._relay = self._settling = self._bus = self._watch = self._notifications = None

    def abandon(self) -> None:
        """In a forked child: publish nothing, settle nothing, and add nothing that nobody would publish."""
        for part in (self._relay, self._settling, self._notifications):
            if part is not None:
                part.abandon()
        self._relay = self._settling = self._bus = self._watch = self._notifications = None
        self._is_abandoned = True

    def _time(self) -> float:
        return SystemClock.time() if self._bus is None else self._bus.engine.clock.time()

    def _check_process(self) -> None:
        if self._is_abandoned:
            from eventbus.runtime.forks import of_another_process

            raise of_another_process(repr(self), "Outbox, Database and Bus")

    def is_idle(self) -> bool:
        return self._relay is None or self._settling is None or (self._relay.is_idle() and self._settling.is_idle())
