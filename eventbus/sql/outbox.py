"""Outbox: events that are added in the caller's own transaction and published soon after it is committed.

An event is a row beside the caller's own rows: both are there, or neither. A relay in the same process publishes it; where
processes share the database, each has a relay and any of them may take a row. It survives a broker that is down for hours.

Order: rows are published in the order of their insertion, by each relay. Several relays at a time, retries and PostgreSQL's
sequences, whose numbers are given before the commit, break it at the edges; events carry time and cause for that reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy import event as sqlalchemy_event

from eventbus.errors import BusStateError, ConfigurationError
from eventbus.event import Event, event_info, event_topic
from eventbus.names import check_name
from eventbus.publishing.publisher import Publisher
from eventbus.runtime.clock import SystemClock
from eventbus.runtime.forks import of_another_process
from eventbus.sql.administration import forget
from eventbus.sql.database import Database
from eventbus.sql.jobs import after_commit
from eventbus.sql.policy import OutboxPolicy
from eventbus.sql.receipts import REPLY, Receipts, receipt_topic
from eventbus.sql.relay import Relay
from eventbus.sql.relay_watch import RelayWatch
from eventbus.sql.settling import Settling
from eventbus.sql.statements import insert_once
from eventbus.sql.tables import outbox

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, scoped_session

    from eventbus.bus import Bus

_DEFAULT = Receipts()


@dataclass(frozen=True, slots=True)
class Backlog:
    """What an outbox still has to do.

    Attributes:
        waiting: rows that are due and not published.
        delayed: rows whose time has not come.
        unsettled: rows that are published and wait for receipts.
        oldest: age in seconds of the oldest row that is due and not published; 0.0 where there is none.
        refused: rows among the waiting and delayed ones that the broker refused; see `eventbus outbox list`.
    """

    waiting: int
    delayed: int
    unsettled: int
    oldest: float
    refused: int = 0


class Outbox:
    """The events of one service on their way out of its database; started with the bus that publishes them.

    Args:
        database: where the table `eventbus_outbox` lies.
        source: name of the publishing service, outside handlers; the bus's unless given.
        receipts: how to wait for subscribers; None settles a row as soon as the broker confirmed it.
        poll: seconds between two looks for rows that other processes added.
        batch: most rows of one round.
        keep: seconds for which settled rows stay.
    """

    def __init__(
        self,
        database: Database,
        *,
        source: str | None = None,
        receipts: Receipts | None = _DEFAULT,
        poll: float = 1.0,
        batch: int = 500,
        keep: float = 3600.0,
    ) -> None:
        if not 0 < poll <= 60 or not 1 <= batch <= 5000 or keep < 0:
            raise ConfigurationError(
                f"Outbox(poll={poll!r}, batch={batch!r}, keep={keep!r}): give 0 to 60 s, 1 to 5000, and seconds"
            )
        self.database = database
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
        self._is_abandoned = False

    def __repr__(self) -> str:
        return f"<Outbox of {self.source or 'the bus'} in {self.database!r}>"

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
        connection: Connection | Session | scoped_session[Any],
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

        Raises:
            EncodeError, MessageTooLargeError: it could never be sent; nothing was added.
            BusStateError: the outbox is not attached to a bus, or the process that attached it was forked.
        """
        self._check_process()
        if self._bus is None or self._publisher is None:
            raise BusStateError("this outbox is not attached to a bus; call bus.attach(outbox) or start its service first")
        topic = event_topic(type(event))
        envelope = self._publisher.envelopes.make(event, subject=subject, expires_in=expires_in)
        now = self._bus.engine.clock.time()
        due = 0.0
        if delay is not None or deliver_at is not None:
            self._publisher.envelopes.defer(envelope, delay, deliver_at)
            due, envelope.deliver_at = envelope.deliver_at or 0.0, None
        if self.receipts is not None:
            envelope.extensions = {REPLY: receipt_topic(topic)}
        row = {
            "event_id": envelope.id,
            "topic": topic,
            "type": event_info(type(event)).name,
            "body": self._publisher.enqueue(topic, envelope),
            "created_at": now,
            "due_at": due,
            "expires_at": envelope.expires_at,
            "wants_receipts": self.receipts is not None,
        }
        insert_once(self._woken_by(connection), outbox, [row])
        return envelope.id

    def _woken_by(self, connection: Connection | Session | scoped_session[Any]) -> Connection:
        """Return the connection itself, after whose commit the relay looks."""
        if isinstance(connection, Connection):
            after_commit(connection, self.wake)
            return connection
        # who has a session has loaded this; for all others it would be a part of the start that they do not need
        from sqlalchemy.orm import Session, scoped_session

        session = connection() if isinstance(connection, scoped_session) else connection
        if not isinstance(session, Session):
            raise TypeError(f"outbox.add({type(session).__name__}): give a SQLAlchemy Connection, Session or scoped_session")
        sqlalchemy_event.listen(session, "after_commit", self._on_commit, once=True)
        return session.connection()

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
        now = SystemClock.time() if self._bus is None else self._bus.engine.clock.time()
        waits = outbox.c.published_at.is_(None)
        is_due = outbox.c.due_at <= now
        age = sa.func.min(sa.func.coalesce(sa.func.nullif(outbox.c.due_at, 0), outbox.c.created_at))

        def number(*where: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
            return sa.select(sa.func.count()).select_from(outbox).where(*where).scalar_subquery()

        # each by the index of its rows: among millions that are settled they are few
        counts = sa.select(
            number(waits, is_due),
            number(waits, ~is_due),
            number(~waits, outbox.c.settled_at.is_(None)),
            sa.select(age).where(waits, is_due).scalar_subquery(),
            number(waits, outbox.c.refusals > 0),
        )

        def count(connection: Connection) -> Backlog:
            row = connection.execute(counts).one()
            return Backlog(row[0], row[1], row[2], 0.0 if row[3] is None else max(now - row[3], 0.0), row[4])

        return self.database.read(count)

    def forget(self, topic: str, channel: str) -> None:
        """Wait no more for a channel that is gone for good; what waited for it alone is settled at once."""
        forget(self.database, topic, channel)
        if self._settling is not None:
            self._settling.look(topic)

    # -- as an attachment -------------------------------------------------------------------------------------------

    def start(self, bus: Bus) -> None:
        """Begin to publish what is there, also from before a crash."""
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
        self._watch = RelayWatch(repr(self), lambda: relay.rounds_done, self.poll)

    def ping(self) -> None:
        """Return if the database answers; raise DatabaseUnreachableError if it does not."""
        self.database.ping()

    def stop_intake(self) -> None:
        """Adding stays possible until the handlers have ended."""

    def stop(self, timeout: float) -> None:
        """Publish what is committed by now, as far as `timeout` seconds allow; the rest waits for the next start."""
        if self._relay is not None and self._settling is not None:
            self._relay.stop(timeout)
            self._settling.stop(timeout)
            self._relay = self._settling = self._bus = self._watch = None

    def abandon(self) -> None:
        """In a forked child: publish nothing, settle nothing, and add nothing that nobody would publish."""
        for part in (self._relay, self._settling):
            if part is not None:
                part.abandon()
        self._relay = self._settling = self._bus = self._watch = None
        self._is_abandoned = True

    def _check_process(self) -> None:
        if self._is_abandoned:
            raise of_another_process(repr(self), "Outbox, Database and Bus")

    def is_idle(self) -> bool:
        return self._relay is None or self._settling is None or (self._relay.is_idle() and self._settling.is_idle())
