"""Repeats: published rows whose receipts are missing, and what goes out again.

Each topic is swept by itself, in pages of rows that are due. What nobody is missing for is settled. For the rest the
broker is asked what it holds (`evidence.py`): only what it lost goes out again, to the channel that misses it alone
(`replayfor`). An inbox that had it only repeats its receipt. A row counts as sent again when the broker has confirmed
that, and not before; then it has a growing pause, so that a receiver that never answers gets a copy now and then and no
storm.

Where the broker cannot be asked, time alone must do: the message timeout, and the growing pauses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.engines.base import TopicStats
from eventbus.runtime.guarded_log import guarded_log
from eventbus.sql.evidence import Suspects, Waiting, candidates, held
from eventbus.sql.policy import OutboxPolicy
from eventbus.sql.receipts import Receipts
from eventbus.sql.register import Register
from eventbus.sql.statements import may_settle, skip_locked, within
from eventbus.sql.tables import outbox, subscribers
from eventbus.wire.codec import decode, rewrite
from eventbus.wire.envelope import REPEATED

if TYPE_CHECKING:
    from eventbus.bus import Bus

log = guarded_log("eventbus.sql")

_Row: TypeAlias = Any
"""A row of the outbox."""
_PAGE = 500
_PAGES = 20
"""Most pages of one topic in one round."""
_MOST_WAITING = 2000
"""Most events of one channel that are looked at closely: what more is lost has its turn when these are sent."""
_BYTES = 4 * 1024 * 1024
_SKEW = 5.0  # seconds by which the clocks of replicas may differ unnoticed
_NEXT = 1000
"""Newest rows that are looked at for the next date."""

_IS_OPEN = outbox.c.published_at.is_not(None) & outbox.c.settled_at.is_(None)


class Repeats:
    """Finds what the broker lost of one outbox, and sends it again.

    Args:
        source: the channel on which the outbox takes its receipts.
        timeout: seconds without a receipt after which the broker is asked.
    """

    def __init__(self, policy: OutboxPolicy, bus: Bus, register: Register, source: str, *, timeout: float) -> None:
        self.topics: set[str] = set()
        """Topics whose receipts come to this process."""
        self._database = policy.database
        self._policy = policy.receipts or Receipts()
        self._bus = bus
        self._register = register
        self._source = source
        self._timeout = timeout
        self._time = bus.engine.clock.time
        self._lease = 2 * bus.publish_timeout + 5.0
        self._suspects = Suspects(confirm=min(2.0, timeout / 2))
        self._cursor: dict[str, int] = {}
        self._ask_at: dict[str, float] = {}
        self._swept_at: dict[str, float] = {}
        self._horizon: dict[tuple[str, str], float] = {}

    def answered(self, topic: str, channel: str, published_at: float) -> None:
        """Learn up to which instant of publication a channel has answered."""
        place = (topic, channel)
        self._horizon[place] = max(self._horizon.get(place, 0.0), published_at)

    def look(self, topic: str) -> None:
        """Sweep a topic in the next round, whenever its turn would have been."""
        self._ask_at.pop(topic, None)

    # -- rounds -----------------------------------------------------------------------------------------------------

    def work(self) -> float | None:
        """Sweep all topics once; return the seconds until something is due, None for nothing known."""
        stats: dict[str, TopicStats] | None = None
        has_asked = False
        failed: Exception | None = None
        due: list[float] = []
        for topic in sorted(self.topics):
            if self._ask_at.get(topic, 0.0) > self._time():
                continue
            self._swept_at[topic] = self._time()
            waiting, is_whole = self._sweep(topic)
            if not is_whole:
                due.append(0.0)
            if not waiting:
                continue
            if not has_asked:
                has_asked, stats = True, self._ask()
            try:
                due.extend(self._judge(topic, waiting, stats))
            except Exception as error:  # one topic that cannot be published to holds up no other
                failed = failed or error
        if failed is not None:
            raise failed
        due.extend(self._database.chore(self._next))
        return min(due, default=None)

    def _ask(self) -> dict[str, TopicStats] | None:
        try:
            return self._bus.engine.stats()
        except Exception as error:
            log.debug("the broker cannot be asked what it holds: %s", error)
            return None

    def _next(self, connection: Connection) -> list[float]:
        """Return in how many seconds rows are due, or topics that have rows which came due since they were swept."""
        now = self._time()
        when = sa.case((self._is_odd(now), now), else_=outbox.c.next_at).label("next_at")
        newest = sa.select(outbox.c.topic, when).where(_IS_OPEN).order_by(outbox.c.id.desc()).limit(_NEXT).subquery()
        is_later = newest.c.next_at > now
        found = sa.select(
            newest.c.topic,
            sa.func.min(sa.case((is_later, newest.c.next_at))),
            sa.func.max(sa.case((~is_later, newest.c.next_at))),
        ).group_by(newest.c.topic)
        due = []
        for topic, later, before in connection.execute(found):
            if topic not in self.topics:
                continue
            if later is not None:
                due.append(max(later - now, 0.001))
            if before is not None and before > self._swept_at.get(topic, 0.0):
                due.append(max(self._ask_at.get(topic, 0.0) - now, 0.001))
        return due

    def _sweep(self, topic: str) -> tuple[dict[str, list[Waiting]], bool]:
        """Settle what waits for nobody; return by channel what it has not answered for, and whether that is all."""
        waiting: dict[str, list[Waiting]] = {}
        for _ in range(_PAGES):
            after = self._cursor.get(topic, 0)
            last = self._database.chore(lambda connection, after=after: self._page(connection, topic, after, waiting))  # type: ignore[misc]
            self._cursor[topic] = last or 0
            if last is None:
                return waiting, True
            if any(len(each) >= _MOST_WAITING for each in waiting.values()):
                break
        return waiting, bool(waiting)

    def _page(self, connection: Connection, topic: str, after: int, waiting: dict[str, list[Waiting]]) -> int | None:
        """Look at one page; return its last row where there may be more."""
        now = self._time()
        columns = (outbox.c.id, outbox.c.published_at, outbox.c.expires_at)
        mine = (outbox.c.topic == topic) & _IS_OPEN & (outbox.c.id > after)
        connection.execute(sa.update(outbox).where(mine, self._is_odd(now)).values(next_at=now))
        due = sa.select(*columns).where(mine, outbox.c.next_at <= now).order_by(outbox.c.id).limit(_PAGE)
        rows = list(connection.execute(due))
        if not rows:
            return None
        is_settling = may_settle(connection)
        missing: dict[int, list[str]] = {row.id: [] for row in rows}
        pairs = (
            sa.select(outbox.c.id, subscribers.c.channel)
            .distinct()
            .join(subscribers, self._register.waited_for())
            .where(outbox.c.id.in_(missing), ~self._register.has_answered())
        )
        for identifier, channel in connection.execute(pairs):
            missing[identifier].append(channel)
        done = []
        for row in rows:
            if not missing[row.id] or (row.expires_at is not None and row.expires_at <= now):
                done.append(row.id)
                continue
            for channel in missing[row.id]:
                waiting.setdefault(channel, []).append(Waiting(row.id, row.published_at))
        if done and is_settling:
            still = sa.select(outbox.c.id).where(outbox.c.id.in_(done), outbox.c.settled_at.is_(None)).order_by(outbox.c.id)
            locked = list(connection.scalars(skip_locked(still)))
            connection.execute(sa.update(outbox).where(outbox.c.id.in_(locked)).values(settled_at=now))
        return int(rows[-1].id) if len(rows) == _PAGE else None

    def _is_odd(self, now: float) -> sa.ColumnElement[bool]:
        """Rows that wait longer than any pause is: a replica whose clock is ahead published them."""
        first = (outbox.c.attempts <= 1) & (outbox.c.next_at > now + self._timeout + _SKEW)
        return first | (outbox.c.next_at > now + self._policy.ceiling + _SKEW)

    # -- judging ----------------------------------------------------------------------------------------------------

    def _judge(self, topic: str, waiting: dict[str, list[Waiting]], stats: dict[str, TopicStats] | None) -> list[float]:
        """Send again what is lost; return the seconds after which to look again, where that is known."""
        now = self._time()
        lost: dict[str, list[int]] = {}
        looks: list[float] = []
        if stats is None:
            patience = now - self._bus.message_timeout - 5.0
            lost = {name: [each.id for each in rows if each.published_at <= patience] for name, rows in waiting.items()}
        elif self._are_receipts_waiting(stats, topic):
            looks.append(1.0)  # the answers are there, and not read yet
        else:
            for channel, rows in waiting.items():
                there = held(stats, topic, channel)
                count = len(rows)
                if len(rows) >= _MOST_WAITING or self._cursor.get(topic):
                    cap = there.total + _MOST_WAITING
                    count = self._database.chore(lambda c, channel=channel, cap=cap: self._count(c, topic, channel, cap))  # type: ignore[misc]
                horizon = self._horizon.get((topic, channel), 0.0)
                found = candidates(rows, count, there, horizon, self._timeout)
                lost[channel], is_soon = self._suspects.convict((topic, channel), found, now)
                if is_soon:
                    looks.append(self._suspects.confirm)
        lost = {channel: ids for channel, ids in lost.items() if ids}
        if lost:
            self._repeat(topic, lost)
        # what only waits is looked at again now and then; nobody waits for that in virtual time
        self._ask_at[topic] = now + (min(looks) if looks else min(self._timeout, 15.0))
        return looks

    def _are_receipts_waiting(self, stats: dict[str, TopicStats], topic: str) -> bool:
        there = stats.get(f"{topic}.receipts")
        counts = None if there is None else there.channels.get(self._source)
        return counts is not None and counts.depth > 0 and counts.subscribers > 0 and not counts.is_paused

    def _count(self, connection: Connection, topic: str, channel: str, cap: int) -> int:
        """Return how many events wait for an answer of a channel for too long, or `cap` if there are more."""
        old = (outbox.c.topic == topic) & _IS_OPEN & (outbox.c.published_at <= self._time() - self._timeout)
        some = (
            sa.select(outbox.c.id)
            .join(subscribers, self._register.waited_for())
            .where(old, subscribers.c.channel == channel, ~self._register.has_answered())
            .limit(cap)
            .subquery()
        )
        return connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0

    # -- sending again ----------------------------------------------------------------------------------------------

    def _repeat(self, topic: str, lost: dict[str, list[int]]) -> None:
        wanted = sorted({each for ids in lost.values() for each in ids})
        while wanted:
            rows = self._database.chore(lambda connection: self._take(connection, wanted[:_PAGE]))  # noqa: B023
            if not rows:
                wanted = wanted[_PAGE:]  # settled meanwhile, or in the hands of another process
                continue
            wanted = [each for each in wanted if each > rows[-1].id]
            ids = [row.id for row in rows]
            try:
                copies = self._copies(rows, lost)
                self._bus.engine.publish_many(topic, copies, timeout=self._bus.publish_timeout)
            except BaseException:
                self._database.chore(lambda connection: self._release(connection, ids))  # noqa: B023
                raise
            for channel, missed in lost.items():
                count = len(set(missed) & set(ids))
                if count:
                    log.warning("%d events of %s did not reach %s: sent again", count, topic, channel)
            self._database.chore(lambda connection: self._mark(connection, rows))  # noqa: B023

    def _take(self, connection: Connection, ids: Sequence[int]) -> list[_Row]:
        """Lease rows that are still open, so that another process does not send them too; as many as fit into one batch."""
        now = self._time()
        free = outbox.c.id.in_(ids) & _IS_OPEN & (outbox.c.next_at <= now)
        idle = (outbox.c.leased_until <= now) | (outbox.c.leased_until > now + self._lease)
        sizes = sa.select(outbox.c.id, sa.func.length(outbox.c.body).label("size")).where(free, idle).order_by(outbox.c.id)
        taken = within(connection.execute(skip_locked(sizes)).all(), _BYTES)
        connection.execute(sa.update(outbox).where(outbox.c.id.in_(taken)).values(leased_until=now + self._lease))
        columns = (outbox.c.id, outbox.c.body, outbox.c.attempts)
        return list(connection.execute(sa.select(*columns).where(outbox.c.id.in_(taken)).order_by(outbox.c.id)))

    @staticmethod
    def _release(connection: Connection, ids: Sequence[int]) -> None:
        connection.execute(sa.update(outbox).where(outbox.c.id.in_(ids)).values(leased_until=0.0))

    @staticmethod
    def _copies(rows: Sequence[_Row], lost: dict[str, list[int]]) -> list[bytes]:
        copies = []
        for channel, ids in lost.items():
            missed = set(ids)
            for row in rows:
                if row.id not in missed:
                    continue
                envelope = decode(row.body)
                envelope.replay_for = channel
                envelope.extensions = {**(envelope.extensions or {}), REPEATED: True}
                copies.append(rewrite(envelope, row.body))
        return copies

    def _mark(self, connection: Connection, rows: Sequence[_Row]) -> None:
        now = self._time()
        by_attempts: dict[int, list[int]] = {}
        for row in rows:
            by_attempts.setdefault(row.attempts, []).append(row.id)
        for attempts, ids in by_attempts.items():
            wait = min(self._timeout * self._policy.factor ** min(attempts, 64), self._policy.ceiling)
            values = {"attempts": attempts + 1, "next_at": now + wait, "leased_until": 0.0}
            connection.execute(sa.update(outbox).where(outbox.c.id.in_(ids)).values(values))
