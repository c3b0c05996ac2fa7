"""Relay: takes committed rows of an outbox and publishes them, in batches and in order.

A row is leased, published and only then marked. No transaction is open while the broker is spoken to. Whatever happens
between leaves the row for the next round of any relay; at worst it goes out twice.

Nothing at the head of the line holds up what follows: a topic that fails is left alone for a while, with growing pauses,
and the others go on; a row that is refused steps aside, with growing pauses of its own. A batch is bounded in bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.errors import PublishError, Rejected
from eventbus.publishing.publisher import Publisher
from eventbus.retry import Retry
from eventbus.runtime.failpoints import hit
from eventbus.runtime.guarded_log import guarded_log
from eventbus.sql.policy import OutboxPolicy
from eventbus.sql.rounds import AWAITED, LONGEST_PAUSE, Rounds
from eventbus.sql.settling import Settling
from eventbus.sql.statements import skip_locked, within
from eventbus.sql.tables import WAS_TAKEN, outbox

if TYPE_CHECKING:
    from eventbus.bus import Bus

log = guarded_log("eventbus.sql")

_Row: TypeAlias = Any
"""A row of the outbox."""
_BYTES = 8 * 1024 * 1024
"""Most bytes of events in one batch."""
_AFTER_REFUSAL = 60.0
"""Seconds before a row that the broker refused is tried again; twice as long after each further refusal."""
_LONGEST_REFUSAL = 6 * 3600.0


class Relay:
    """Publishes the rows of one outbox from this process."""

    def __init__(self, policy: OutboxPolicy, bus: Bus, publisher: Publisher, settling: Settling) -> None:
        self.rounds_done = 0
        """Rounds that ended; it stands still where nothing lets the hub run."""
        self._policy = policy
        self._bus = bus
        self._publisher = publisher
        self._settling = settling
        self._database = policy.database
        self._time = bus.engine.clock.time
        # longer than a publish may take, so that a slow broker does not make two relays send the same
        self._lease = 2 * bus.publish_timeout + 5.0
        self._failing: dict[str, tuple[int, float]] = {}
        """Topics that cannot be published to: failures in a row, and until when they are left alone."""
        self._is_full = False
        self._pauses = Retry(first=policy.poll, ceiling=max(LONGEST_PAUSE, policy.poll))
        self._draw = bus.randomness.random
        self._rounds = Rounds(
            f"relay of {policy.name}", self._work, bus.engine.clock, poll=policy.poll, draw=bus.randomness.random
        )
        self.wake = self._rounds.wake
        self.is_idle = self._rounds.is_idle
        self.stop = self._rounds.stop
        self.abandon = self._rounds.abandon

    def _work(self) -> float | None:
        self.rounds_done += 1
        began = self._time()
        rows, next_due = self._database.chore(self._take)
        if rows:
            hit("relay_after_lease")
            by_topic: dict[str, list[_Row]] = {}
            for row in rows:
                by_topic.setdefault(row.topic, []).append(row)
            for topic, mine in by_topic.items():
                self._send(topic, mine)
        if self._is_full:
            return 0
        now = self._time()
        due = [] if next_due is None else [max(next_due - now, 0.001)]
        # a topic whose pause was over had its turn in this round: what it has left is leased by somebody else
        due.extend(
            max(until - now, 0.01) for failures, until in self._failing.values() if failures < AWAITED and until > began
        )
        return min(due, default=None)

    def _send(self, topic: str, rows: list[_Row]) -> None:
        """Publish rows of one topic; where that fails they are left for later, and other topics go on."""
        try:
            self._settling.listen(topic)
            self._publish(topic, rows)
        except Exception as error:
            failures = self._failing.get(topic, (0, 0.0))[0] + 1
            pause = max(self._pauses.delay(failures, draw=self._draw), 0.01)
            self._failing[topic] = (failures, self._time() + pause)
            if failures & (failures - 1) == 0:  # the 1st, 2nd, 4th, 8th...: an outage fills no disk
                log.warning(
                    "%s: %s cannot be published to, for the %dth time in a row; again in %.3g s: %s: %s",
                    self._policy.name,
                    topic,
                    failures,
                    pause,
                    type(error).__name__,
                    str(error).split("\n", 1)[0],
                )
            self._release([row.id for row in rows])
        except BaseException:
            self._release([row.id for row in rows])
            raise
        else:
            if self._failing.pop(topic, None) is not None:
                log.info("%s: %s can be published to again", self._policy.name, topic)

    def _take(self, connection: Connection) -> tuple[list[_Row], float | None]:
        """Lease the next rows that are due; return them, and when the next of the others is."""
        now = self._time()
        waits = outbox.c.published_at.is_(None)
        # a lease longer than any is that of a relay whose clock was wrong
        idle = (outbox.c.leased_until <= now) | (outbox.c.leased_until > now + 2 * self._lease)
        aside = [topic for topic, (_, until) in self._failing.items() if until > now]
        free = waits & (outbox.c.due_at <= now) & idle
        if aside:
            free &= outbox.c.topic.not_in(aside)
        order = (outbox.c.due_at, outbox.c.id)
        chosen = sa.select(outbox.c.id, sa.func.length(outbox.c.body).label("size")).where(free).order_by(*order)
        found = connection.execute(skip_locked(chosen.limit(self._policy.batch))).all()
        ids = within(found, _BYTES)
        self._is_full = bool(ids) and (len(ids) == self._policy.batch or len(ids) < len(found))
        next_due = None if self._is_full else self._next(connection, now)
        if not ids:
            return [], next_due
        connection.execute(sa.update(outbox).where(outbox.c.id.in_(ids)).values(leased_until=now + self._lease))
        columns = (outbox.c.id, outbox.c.topic, outbox.c.event_id, outbox.c.body, outbox.c.refusals)
        return list(connection.execute(sa.select(*columns).where(outbox.c.id.in_(ids)).order_by(*order))), next_due

    def _next(self, connection: Connection, now: float) -> float | None:
        """Return when the next row is due, or the next lease ends; both by an index, and only few rows are leased."""
        waits = outbox.c.published_at.is_(None)
        later = sa.select(outbox.c.due_at).where(waits, outbox.c.due_at > now).order_by(outbox.c.due_at).limit(1)
        leased = (
            sa.select(outbox.c.leased_until)
            .where(waits, outbox.c.due_at <= now, outbox.c.leased_until > now)
            .order_by(outbox.c.due_at)
            .limit(self._policy.batch)
            .subquery()
        )
        ends = connection.scalar(sa.select(sa.func.min(leased.c.leased_until)))
        instants = [each for each in (connection.scalar(later), ends) if each is not None]
        return min(instants, default=None)

    def _publish(self, topic: str, rows: Sequence[_Row]) -> None:
        try:
            self._publisher.forward(topic, [row.body for row in rows], self._bus.publish_timeout)
        except Rejected as error:
            if len(rows) == 1:
                self._note_refusal(rows[0], error)
                return
            half = len(rows) // 2  # one that is refused must not hold up the others
            self._publish(topic, rows[:half])
            self._publish(topic, rows[half:])
            return
        hit("relay_after_publish")
        self._database.chore(lambda connection: self._settling.mark_published(connection, rows))
        observers = self._settling.observers
        if observers.are_there:
            observers.tell("published", topic, [row.body for row in rows])
        observers.tell_settled()

    def _note_refusal(self, row: _Row, error: PublishError) -> None:
        pause = min(_AFTER_REFUSAL * 2.0 ** min(row.refusals, 32), _LONGEST_REFUSAL)
        log.error(
            "the broker refused event %s of topic %s, tried again in %g s: %s; see: eventbus outbox list",
            row.event_id,
            row.topic,
            pause,
            error,
        )
        change = sa.update(outbox).where(outbox.c.id == row.id)
        values = {"leased_until": 0.0, "due_at": self._time() + pause, "error": str(error)[:1000]}
        self._database.chore(lambda connection: connection.execute(change.values(**values, refusals=outbox.c.refusals + 1)))

    def _release(self, ids: list[int]) -> None:
        change = (
            sa.update(outbox).where(outbox.c.id.in_(ids), outbox.c.published_at.is_(None)).values(leased_until=WAS_TAKEN)
        )
        try:
            self._database.chore(lambda connection: connection.execute(change))
        except Exception as error:  # the lease ends by itself
            log.warning("%s could not be released, wait for %g s: %s", self._policy.name, self._lease, type(error).__name__)
