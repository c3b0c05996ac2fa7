"""Relay: takes committed rows of an outbox and publishes them, in batches and in order.

A row is leased, published and only then marked. No transaction is open while the broker is spoken to. Whatever happens
between leaves the row for the next round of any relay; at worst it goes out twice.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.errors import PublishError, Rejected
from eventbus.publishing.publisher import Publisher
from eventbus.runtime.failpoints import hit
from eventbus.sql.database import skip_locked
from eventbus.sql.policy import OutboxPolicy
from eventbus.sql.rounds import Rounds
from eventbus.sql.settling import Settling
from eventbus.sql.tables import outbox

if TYPE_CHECKING:
    from eventbus.bus import Bus

log = logging.getLogger("eventbus.sql")

_Row: TypeAlias = Any
"""A row of the outbox."""
_AFTER_REFUSAL = 60.0
"""Seconds before a row that the broker refused is tried again; what follows it goes on meanwhile."""


class Relay:
    """Publishes the rows of one outbox from this process."""

    def __init__(self, policy: OutboxPolicy, bus: Bus, publisher: Publisher, settling: Settling) -> None:
        self._policy = policy
        self._bus = bus
        self._publisher = publisher
        self._settling = settling
        self._database = policy.database
        self._time = bus.engine.clock.time
        # longer than a publish may take, so that a slow broker does not make two relays send the same
        self._lease = 2 * bus.publish_timeout + 5.0
        self._rounds = Rounds(
            f"relay of {policy.name}", self._work, bus.engine.clock, poll=policy.poll, draw=bus.randomness.random
        )
        self.wake = self._rounds.wake
        self.is_idle = self._rounds.is_idle
        self.stop = self._rounds.stop

    def _work(self) -> float | None:
        rows, next_due = self._database.transact(self._take)
        if not rows:
            return self._time_to(next_due)
        hit("relay_after_lease")
        by_topic: dict[str, list[_Row]] = {}
        for row in rows:
            by_topic.setdefault(row.topic, []).append(row)
        try:
            for topic in list(by_topic):
                self._settling.listen(topic)
                self._publish(topic, by_topic[topic])
                del by_topic[topic]
        finally:
            left = [row.id for rows_left in by_topic.values() for row in rows_left]
            if left:
                self._release(left)
        return 0 if len(rows) == self._policy.batch else self._time_to(next_due)

    def _time_to(self, due: float | None) -> float | None:
        return None if due is None else max(due - self._time(), 0.001)

    def _take(self, connection: Connection) -> tuple[list[_Row], float | None]:
        """Lease the next rows that are due; return them, and when the next of the others is."""
        now = self._time()
        free = outbox.c.published_at.is_(None) & (outbox.c.due_at <= now) & (outbox.c.leased_until <= now)
        order = (outbox.c.due_at, outbox.c.id)
        chosen = skip_locked(sa.select(outbox.c.id).where(free).order_by(*order).limit(self._policy.batch))
        ids = list(connection.scalars(chosen))
        when = sa.case((outbox.c.leased_until > outbox.c.due_at, outbox.c.leased_until), else_=outbox.c.due_at)
        later = sa.select(sa.func.min(when)).where(outbox.c.published_at.is_(None), when > now)
        next_due: float | None = connection.scalar(later)
        if not ids:
            return [], next_due
        connection.execute(sa.update(outbox).where(outbox.c.id.in_(ids)).values(leased_until=now + self._lease))
        columns = (outbox.c.id, outbox.c.topic, outbox.c.event_id, outbox.c.body, outbox.c.wants_receipts)
        return list(connection.execute(sa.select(*columns).where(outbox.c.id.in_(ids)).order_by(*order))), next_due

    def _publish(self, topic: str, rows: list[_Row]) -> None:
        try:
            self._publisher.forward(topic, [row.body for row in rows], self._bus.publish_timeout)
        except Rejected as error:
            if len(rows) == 1:
                self._note_refusal(rows[0], error)
                return
            for row in rows:  # one that is refused must not hold up the others
                self._publish(topic, [row])
            return
        hit("relay_after_publish")
        self._database.transact(lambda connection: self._settling.mark_published(connection, rows))

    def _note_refusal(self, row: _Row, error: PublishError) -> None:
        log.error(
            "the broker refused event %s of topic %s, tried again in %g s: %s",
            row.event_id,
            row.topic,
            _AFTER_REFUSAL,
            error,
        )
        until = self._time() + _AFTER_REFUSAL
        change = sa.update(outbox).where(outbox.c.id == row.id).values(leased_until=until, error=str(error)[:1000])
        self._database.transact(lambda connection: connection.execute(change))

    def _release(self, ids: list[int]) -> None:
        change = sa.update(outbox).where(outbox.c.id.in_(ids), outbox.c.published_at.is_(None)).values(leased_until=0.0)
        try:
            self._database.transact(lambda connection: connection.execute(change))
        except Exception as error:  # the lease ends by itself
            log.warning("%s could not be released, wait for %g s: %s", self._policy.name, self._lease, type(error).__name__)
