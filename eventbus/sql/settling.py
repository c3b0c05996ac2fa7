"""Settling: when nothing more is to be done for a published row of an outbox.

With receipts, a row is settled when every channel that was bound when it was published, and keeps an inbox, has said so.
Rows that miss a receipt for too long go out again to the missing channels alone, by `replayfor`; an inbox that had the event
only repeats its receipt. Without receipts, a row is settled when the broker confirmed it.

Which channels there are, they tell: when they start, and with each batch of receipts. A channel that is heard of late, since
the broker lost its first word too, makes settled rows open again, as long as they are kept.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.errors import ConfigurationError
from eventbus.retry import Retry
from eventbus.service import Service
from eventbus.sql.database import insert_once, skip_locked
from eventbus.sql.policy import OutboxPolicy
from eventbus.sql.receipts import ReceiptsGiven, receipt_topic, receipts_given_on
from eventbus.sql.rounds import Rounds
from eventbus.sql.tables import outbox, receipts, subscribers
from eventbus.wire.codec import CODECS, decode

if TYPE_CHECKING:
    from eventbus.bus import Bus

log = logging.getLogger("eventbus.sql")

_Row: TypeAlias = Any
"""A row of the outbox."""
_SLACK = 5.0
"""Seconds by which two services' clocks may differ: a channel bound so much later still counts as bound."""
_TIDY_EVERY = 60.0
_AT_ONCE = 500


class Settling:
    """Marks, settles, repeats and removes the rows of one outbox."""

    def __init__(self, policy: OutboxPolicy, bus: Bus, source: str) -> None:
        self._policy = policy
        self._bus = bus
        self._source = source
        self._database = policy.database
        self._time = bus.engine.clock.time
        self._receipts = policy.receipts
        self._listening: set[str] = set()
        self._tidied = 0.0
        if self._receipts is not None:
            self._timeout = self._receipts.timeout or bus.message_timeout + 5.0
            for topic in self._database.transact(self._topics):
                self.listen(topic)
        self._rounds = Rounds(
            f"settling of {policy.name}",
            self._work,
            bus.engine.clock,
            poll=max(policy.poll, 1.0),
            draw=bus.randomness.random,
        )
        self.is_idle = self._rounds.is_idle

    def stop(self, timeout: float) -> None:
        """End; nothing here is urgent."""
        self._rounds.stop(timeout)

    def _topics(self, connection: Connection) -> list[str]:
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
        listener.on(receipts_given_on(receipt_topic(topic)), retry=patient, concurrency=4)(self._take)
        try:
            self._bus.start(listener)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{self._policy.name}: receipts of {topic!r}: {error}; or give Outbox(receipts=None)"
            ) from None
        self._listening.add(topic)

    def _take(self, given: ReceiptsGiven) -> None:
        self._database.transact(lambda connection: self._keep(connection, given))

    def _keep(self, connection: Connection, given: ReceiptsGiven) -> None:
        now = self._time()
        for type_name, since in given.since.items():
            key = {"topic": given.topic, "type": type_name, "channel": given.channel}
            if insert_once(connection, subscribers, [{**key, "since": since, "seen_at": now}]):
                self._reopen(connection, given.topic, type_name, since)
            else:
                which = [subscribers.c[name] == value for name, value in key.items()]
                connection.execute(sa.update(subscribers).where(*which).values(seen_at=now))
        if given.ids:
            # receipts of what others published to the same topic are not for this outbox
            # locked, so that a relay that marks them meanwhile sees these receipts, or these see its mark
            mine = sa.select(outbox.c.event_id).where(outbox.c.event_id.in_(given.ids))
            known = set(connection.scalars(mine.order_by(outbox.c.id).with_for_update()))
            ours = [{"event_id": each, "channel": given.channel} for each in given.ids if each in known]
            insert_once(connection, receipts, ours)
            self._settle(connection, outbox.c.event_id.in_(known))

    def _reopen(self, connection: Connection, topic: str, type_name: str, since: float) -> None:
        connection.execute(
            sa.update(outbox)
            .where(
                outbox.c.topic == topic,
                outbox.c.type == type_name,
                outbox.c.settled_at.is_not(None),
                outbox.c.published_at >= since - _SLACK,
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
        values = {"published_at": sa.func.coalesce(outbox.c.published_at, now), "attempts": outbox.c.attempts + 1}
        if self._receipts is None:
            connection.execute(change.values(**values, settled_at=now))
            return
        # a row from a time without receipts does not ask for any, and would wait for ever
        settled = sa.case((outbox.c.wants_receipts, outbox.c.settled_at), else_=now)
        connection.execute(change.values(**values, next_at=now + self._timeout, settled_at=settled))
        self._settle(connection, outbox.c.id.in_(ids))  # a receipt can be faster than this mark

    def _waited_for(self) -> sa.ColumnElement[bool]:
        """A subscriber that the row waits for, whether or not it has answered."""
        assert self._receipts is not None
        return (
            (subscribers.c.topic == outbox.c.topic)
            & (subscribers.c.type == outbox.c.type)
            & (subscribers.c.since <= outbox.c.published_at + _SLACK)
            & (subscribers.c.seen_at > self._time() - self._receipts.forget_after)
        )

    def _has_answered(self) -> sa.ColumnElement[bool]:
        answer = sa.select(receipts.c.channel).where(
            receipts.c.event_id == outbox.c.event_id, receipts.c.channel == subscribers.c.channel
        )
        # said outright: left to itself, it would take any row's receipt for this row's
        return sa.exists(answer.correlate(outbox, subscribers))

    def _settle(self, connection: Connection, which: sa.ColumnElement[bool]) -> None:
        """Settle those of the rows that somebody answers for and nobody is missing for."""
        waited_for = self._waited_for()
        somebody = sa.exists(sa.select(subscribers.c.channel).where(waited_for).correlate(outbox))
        missing = sa.exists(sa.select(subscribers.c.channel).where(waited_for, ~self._has_answered()).correlate(outbox))
        connection.execute(
            sa.update(outbox)
            .where(which, outbox.c.published_at.is_not(None), outbox.c.settled_at.is_(None), somebody, ~missing)
            .values(settled_at=self._time())
        )

    # -- rounds -----------------------------------------------------------------------------------------------------

    def _work(self) -> float | None:
        now = self._time()
        if now - self._tidied > _TIDY_EVERY:
            self._database.transact(self._tidy)
            self._tidied = now
        if self._receipts is None:
            return None
        repeats, next_at = self._database.transact(self._take_due)
        for row, channels in repeats:
            self._repeat(row, channels)
        return None if next_at is None else max(next_at - self._time(), 0.0)

    def _take_due(self, connection: Connection) -> tuple[list[tuple[_Row, list[str]]], float | None]:
        """Settle rows that wait for nobody; give the others their next date, and return them with whom they miss.

        The second value is when the next row is due.
        """
        now = self._time()
        is_open = outbox.c.published_at.is_not(None) & outbox.c.settled_at.is_(None)
        chosen = sa.select(outbox).where(is_open, outbox.c.next_at <= now).order_by(outbox.c.next_at).limit(_AT_ONCE)
        rows = list(connection.execute(skip_locked(chosen)))
        repeats = self._plan(connection, rows, now) if rows else []
        return repeats, connection.scalar(sa.select(sa.func.min(outbox.c.next_at)).where(is_open))

    def _plan(self, connection: Connection, rows: list[_Row], now: float) -> list[tuple[_Row, list[str]]]:
        assert self._receipts is not None
        missing: dict[int, list[str]] = {row.id: [] for row in rows}
        pairs = (
            sa.select(outbox.c.id, subscribers.c.channel)
            .join(subscribers, self._waited_for())
            .where(outbox.c.id.in_(missing), ~self._has_answered())
        )
        for identifier, channel in connection.execute(pairs):
            missing[identifier].append(channel)
        repeats: list[tuple[_Row, list[str]]] = []
        for row in rows:
            is_over = row.expires_at is not None and row.expires_at <= now
            if is_over or not missing[row.id]:
                values: dict[str, Any] = {"settled_at": now}
            else:
                wait = min(self._timeout * self._receipts.factor ** min(row.attempts, 64), self._receipts.ceiling)
                values = {"next_at": now + wait, "attempts": row.attempts + 1}
                repeats.append((row, missing[row.id]))
            connection.execute(sa.update(outbox).where(outbox.c.id == row.id).values(**values))
        return repeats

    def _repeat(self, row: _Row, channels: Iterable[str]) -> None:
        codec = CODECS["json" if row.body[:1] == b"{" else "msgpack"]()
        for channel in channels:
            log.warning("no receipt from %s for %s %s of %s: sent again", channel, row.type, row.event_id, row.topic)
            envelope = decode(row.body)
            envelope.replay_for = channel
            self._bus.engine.publish(row.topic, codec.encode(envelope), delay=0.0, timeout=self._bus.publish_timeout)

    def _tidy(self, connection: Connection) -> None:
        """Remove what was settled long ago, and receipts of it."""
        old = list(
            connection.execute(
                skip_locked(
                    sa.select(outbox.c.id, outbox.c.event_id)
                    .where(outbox.c.settled_at < self._time() - self._policy.keep)
                    .limit(5 * _AT_ONCE)
                )
            )
        )
        if old:
            connection.execute(sa.delete(receipts).where(receipts.c.event_id.in_([row.event_id for row in old])))
            connection.execute(sa.delete(outbox).where(outbox.c.id.in_([row.id for row in old])))

    def forget(self, topic: str, channel: str) -> None:
        """Take a channel out of the register."""
        gone = sa.delete(subscribers).where(subscribers.c.topic == topic, subscribers.c.channel == channel)
        self._database.transact(lambda connection: connection.execute(gone))
