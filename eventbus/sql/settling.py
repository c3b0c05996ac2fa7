"""Settling: when nothing more is to be done for a published row of an outbox.

With receipts, a row is settled when every channel that was bound when it was published, and keeps an inbox, has said so.
Rows that miss a receipt for too long, and that the broker does not hold any more, go out again (`repeats.py`). Without
receipts, a row is settled when the broker confirmed it. Which of the two a row wants, it says itself: services with and
without receipts may share a database.

Which channels there are, they tell (`register.py`). One that is heard of late makes settled rows open again, as long as
they are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa
from gevent.lock import BoundedSemaphore
from sqlalchemy import Connection

from eventbus.context import Context
from eventbus.errors import BrokerUnreachableError, BusStateError, ConfigurationError, RetryLater
from eventbus.event import Event
from eventbus.retry import Retry
from eventbus.runtime.guarded_log import guarded_log
from eventbus.service import Service
from eventbus.sql.cleaning import STEP, clean
from eventbus.sql.observers import RowObservers
from eventbus.sql.policy import OutboxPolicy
from eventbus.sql.receipts import HEARTBEAT, Claim, Receipts, checked, claimed_on, receipt_topic
from eventbus.sql.register import SLACK, Register
from eventbus.sql.repeats import Repeats
from eventbus.sql.rounds import Rounds
from eventbus.sql.statements import delete_some, insert_once, may_settle
from eventbus.sql.tables import outbox, receipts, subscribers

if TYPE_CHECKING:
    from eventbus.bus import Bus

log = guarded_log("eventbus.sql")

_Row: TypeAlias = Any
"""A row of the outbox."""
_TIDY_EVERY = 60.0
_TIMEOUT = 6.0
"""Seconds without a receipt after which the broker is asked, where the policy says nothing."""
_GIVEN_UP_AFTER = 30 * 86400.0
_KEPT_AT_LEAST = 3 * HEARTBEAT
"""Seconds for which rows with receipts are kept: a channel whose first word was lost says the second within that time."""


class Settling:
    """Marks, settles and removes the rows of one outbox."""

    def __init__(self, policy: OutboxPolicy, bus: Bus, source: str) -> None:
        self._policy = policy
        self._bus = bus
        self._source = source
        self._database = policy.database
        self._time = bus.engine.clock.time
        self.observers = RowObservers(bus.middleware)
        self._receipts = policy.receipts
        waits = policy.receipts or Receipts()
        self._timeout = waits.timeout or min(_TIMEOUT, waits.ceiling)
        self._listening: set[str] = set()
        self._one_at_a_time = BoundedSemaphore(1)
        """Receipts of all topics take turns: they never use up the connections of others."""
        self._tidied = 0.0
        self._keep_for = policy.keep if policy.receipts is None else max(policy.keep, _KEPT_AT_LEAST)
        self.register = Register(waits, self._time, bus.engine.stats, policy.expected)
        self._repeats = Repeats(policy, bus, self.register, source, timeout=self._timeout)
        if self._receipts is not None:
            for topic in self._database.chore(self._begin):
                self.listen(topic)
        self._rounds = Rounds(
            f"settling of {policy.name}",
            self._work,
            bus.engine.clock,
            poll=max(policy.poll, 1.0),
            draw=bus.randomness.random,
        )
        self.is_idle = self._rounds.is_idle
        self.abandon = self._rounds.abandon

    def look(self, topic: str) -> None:
        """Look at a topic's rows at once: who is waited for has changed."""
        self._repeats.look(topic)
        self._rounds.wake()

    def stop(self, timeout: float) -> None:
        """End; nothing here is urgent."""
        self._rounds.stop(timeout)

    def _begin(self, connection: Connection) -> list[str]:
        for topic, since in self.register.expect(connection):
            self._reopen(connection, topic, None, since)
        known = sa.union(sa.select(outbox.c.topic).where(outbox.c.settled_at.is_(None)), sa.select(subscribers.c.topic))
        return list(connection.scalars(known))

    # -- receipts that come -----------------------------------------------------------------------------------------

    def listen(self, topic: str) -> None:
        """Take receipts for `topic` from now on; before its first event goes out."""
        if self._receipts is None or topic in self._listening:
            return
        listener = Service(self._source)
        # what cannot be written now, because the database is away, is tried for a day
        patient = Retry(attempts=200, first=0.5, ceiling=600.0)

        def take(given: Event, context: Context) -> None:
            self._take(topic, given)

        listener.on(claimed_on(receipt_topic(topic)), retry=patient, concurrency=4)(take)
        try:
            self._bus.start(listener)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{self._policy.name}: receipts of {topic!r}: {error}; or give Outbox(receipts=None)"
            ) from None
        except BusStateError:
            if not self._bus.is_stopping:
                raise
            # what is committed goes out all the same, and its receipts wait in the channel for the next start
            failed = self._bus.engine.declare(receipt_topic(topic), [listener.channel], anew=True)
            if failed:
                raise BrokerUnreachableError(f"no channel for receipts of {topic!r}: {'; '.join(failed)}") from None
            return
        self._listening.add(topic)
        self._repeats.topics.add(topic)

    def _take(self, topic: str, given: Any) -> None:
        claim = checked(given, topic)
        if claim is None:
            self.register.refuse("they have another topic, or no shape of receipts")
            return
        admitted = self.register.admits(topic, claim.channel)
        if admitted is None:
            admitted = self._database.chore(lambda connection: self.register.remembers(connection, topic, claim.channel))
            if not admitted:
                raise RetryLater(after=5.0)  # the broker that could say whether the channel is there is away
        if not admitted:
            self.register.refuse(f"the broker knows no channel {claim.channel} on {topic}")
        else:
            with self._one_at_a_time:
                is_done = self._database.chore(lambda connection: self._keep(connection, claim))
            self.observers.tell_settled()
            if not is_done:
                raise RetryLater(after=1.0)  # somebody is changing who is waited for

    def _keep(self, connection: Connection, given: Claim | Any) -> bool:
        """Keep what a channel says; return whether all that follows from it is done."""
        for name, since in self.register.note(connection, given).items():
            self._reopen(connection, given.topic, name, since)
        if not given.ids:
            return True
        # receipts of what others published to the same topic are not for this outbox
        # locked, so that a relay that marks them meanwhile sees these receipts, or these see its mark
        mine = sa.select(outbox.c.event_id, outbox.c.published_at).where(
            outbox.c.event_id.in_([each for each in given.ids if len(each) <= 64]), outbox.c.topic == given.topic
        )
        known = {row.event_id: row.published_at for row in connection.execute(mine.order_by(outbox.c.id).with_for_update())}
        if not known:
            return True
        insert_once(connection, receipts, [{"event_id": each, "channel": given.channel} for each in known])
        self._repeats.answered(given.topic, given.channel, max((each or 0.0 for each in known.values()), default=0.0))
        if not may_settle(connection):
            return False
        self._settle(connection, outbox.c.event_id.in_(known))
        return True

    def _reopen(self, connection: Connection, topic: str, type_name: str | None, since: float) -> None:
        """Open settled rows again that a channel may have missed."""
        which = [] if type_name is None else [outbox.c.type == type_name]
        connection.execute(
            sa.update(outbox)
            .where(
                outbox.c.topic == topic,
                *which,
                outbox.c.settled_at.is_not(None),
                outbox.c.published_at >= since - SLACK,
                outbox.c.wants_receipts,
            )
            .values(settled_at=None, next_at=self._time() + self._timeout)
        )

    # -- rows -------------------------------------------------------------------------------------------------------

    def mark_published(self, connection: Connection, rows: Sequence[_Row]) -> None:
        """Note that the broker has confirmed these rows."""
        now = self._time()
        ids = [row.id for row in rows]
        connection.execute(sa.select(outbox.c.id).where(outbox.c.id.in_(ids)).order_by(outbox.c.id).with_for_update())
        change = sa.update(outbox).where(outbox.c.id.in_(ids))
        # whether a row waits for receipts it says itself, whoever publishes it
        settled = sa.case((outbox.c.wants_receipts, outbox.c.settled_at), else_=now)
        # whoever is in the register now was bound before: replicas with other clocks must not make it look otherwise
        latest = sa.select(sa.func.max(subscribers.c.since)).where(subscribers.c.topic == outbox.c.topic).scalar_subquery()
        connection.execute(
            change.values(
                published_at=sa.func.coalesce(outbox.c.published_at, sa.case((latest > now, latest), else_=now)),
                attempts=outbox.c.attempts + 1,
                next_at=now + self._timeout,
                settled_at=settled,
                leased_until=0.0,
            )
        )
        if self._receipts is not None and may_settle(connection):  # otherwise the next look at these rows settles them
            self._settle(connection, outbox.c.id.in_(ids))  # a receipt can be faster than this mark

    def _settle(self, connection: Connection, which: sa.ColumnElement[bool]) -> None:
        """Settle those of the rows that somebody answers for and nobody is missing for."""
        waited_for = self.register.waited_for()
        answered = self.register.has_answered()
        somebody = sa.exists(sa.select(subscribers.c.channel).where(waited_for).correlate(outbox))
        missing = sa.exists(sa.select(subscribers.c.channel).where(waited_for, ~answered).correlate(outbox))
        change = (
            sa.update(outbox)
            .where(which, outbox.c.published_at.is_not(None), outbox.c.settled_at.is_(None), somebody, ~missing)
            .values(settled_at=self._time())
        )
        if self.observers.are_there:
            self.observers.will_settle(map(tuple, connection.execute(change.returning(outbox.c.topic, outbox.c.body))))
        else:
            connection.execute(change)

    # -- rounds -----------------------------------------------------------------------------------------------------

    def _work(self) -> float | None:
        now = self._time()
        is_behind = False
        if now - self._tidied > _TIDY_EVERY:
            is_behind = clean(self._database, [self._tidy])
            if not is_behind:
                self._tidied = now
        due = None if self._receipts is None else self._repeats.work()
        return 0 if is_behind else due

    def _tidy(self, connection: Connection) -> int:
        """Remove what was settled long ago, and receipts of it."""
        old = outbox.c.settled_at < self._time() - self._keep_for
        answers = (outbox.c.event_id, receipts.c.event_id)
        gone = delete_some(connection, outbox, old, limit=STEP, order=outbox.c.settled_at, also=answers)
        if self._receipts is None:
            self._give_up(connection)
        return gone

    def _give_up(self, connection: Connection) -> None:
        """Settle rows that want receipts where for long no outbox has asked for any: they would stay for ever."""
        old = outbox.c.published_at < self._time() - _GIVEN_UP_AFTER
        some = sa.select(outbox.c.id).where(old, outbox.c.settled_at.is_(None)).limit(STEP)
        connection.execute(sa.update(outbox).where(outbox.c.id.in_(some)).values(settled_at=self._time()))
