"""Messenger: carries an inbox's receipts to the origins of the events, in batches, and says that its channels are there.

Each channel says once a minute what it is bound to, whether events come or not: an origin that lost the first word hears the
second, a quiet channel is not forgotten, and what is bound no more is waited for no more. What all replicas bind together is
kept in `eventbus_bindings`, so that one of them does not unbind what another serves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.context import Context
from eventbus.engines.base import Engine
from eventbus.errors import InvalidNameError
from eventbus.runtime.failpoints import hit
from eventbus.runtime.guarded_log import guarded_log
from eventbus.sql.cleaning import STEP, clean
from eventbus.sql.database import Database
from eventbus.sql.jobs import after_commit
from eventbus.sql.receipts import HEARTBEAT, MOST_TYPES, REPLY, receipt_topic, receipts_given_on
from eventbus.sql.rounds import Rounds
from eventbus.sql.statements import delete_some, insert_once, skip_locked
from eventbus.sql.tables import bindings, inbox, receipts_due

if TYPE_CHECKING:
    from eventbus.bus import Bus

log = guarded_log("eventbus.sql")

_AT_ONCE = 500
_LINGER = 0.1
"""Seconds in which receipts gather before they are sent: one message for hundreds."""
_TIDY_EVERY = 60.0
_BOUND_FOR = 3 * HEARTBEAT
"""Seconds after which a binding that no replica confirms any more is none."""
_MOST_NOTES = 10_000

Address = tuple[str, str]
"""Topic and channel."""


class Messenger:
    """Sends what lies in `eventbus_receipts_due`.

    Args:
        name: of the inbox, for people.
        bindings: topic, type name and channel of each handler that runs through the inbox; it may grow.
        poll: seconds between two looks for receipts that other processes left.
        keep: seconds for which claims are kept.
    """

    def __init__(
        self, name: str, database: Database, bus: Bus, *, bindings: set[tuple[str, str, str]], poll: float, keep: float
    ) -> None:
        self._name = name
        self._bindings = bindings
        self._keep = keep
        self._database = database
        self._engine: Engine = bus.engine
        self._timeout = bus.publish_timeout
        self._time = bus.engine.clock.time
        self._envelopes = bus.make_publisher(bus.source, ()).envelopes
        self._notes: deque[tuple[str, str, str]] = deque(maxlen=_MOST_NOTES)
        self._introduced = 0
        self._next_word = 0.0
        self._draw = bus.randomness.random
        self._tidied = 0.0
        self._rounds = Rounds(
            f"receipts of {name}", self._work, bus.engine.clock, poll=poll, linger=_LINGER, draw=bus.randomness.random
        )
        self.wake = self._rounds.wake
        self.is_idle = self._rounds.is_idle
        self.abandon = self._rounds.abandon

    def stop(self, timeout: float) -> None:
        """Send what is due, and say that this replica serves its channels no more."""
        self._rounds.stop(timeout)
        mine = sa.tuple_(bindings.c.topic, bindings.c.type, bindings.c.channel).in_(sorted(self._bindings))
        try:
            self._database.chore(lambda connection: connection.execute(sa.update(bindings).where(mine).values(seen_at=0.0)))
        except Exception as error:  # then it counts as there for some minutes more
            log.debug("%s: its bindings stay for now: %s", self._name, type(error).__name__)

    # -- receipts that are to be sent -------------------------------------------------------------------------------

    def add(self, connection: Connection, contexts: Sequence[Context]) -> None:
        """Note receipts in the transaction that they speak of; they are sent after its commit."""
        rows = [
            {
                "reply_topic": receipt_topic(each.topic),
                "topic": each.topic,
                "channel": each.channel,
                "event_id": each.event_id,
            }
            for each in contexts
            if _is_awaited(each)
        ]
        if rows:
            connection.execute(sa.insert(receipts_due), rows)
            after_commit(connection, self.wake)

    def note(self, context: Context) -> None:
        """Send a receipt of which no effect depends; one that is lost with this process is asked for again."""
        if _is_awaited(context):
            self._notes.append((context.topic, context.channel, context.event_id))
            self.wake()

    # -- rounds -----------------------------------------------------------------------------------------------------

    def _work(self) -> float | None:
        self._speak()
        is_behind = False
        if self._time() - self._tidied > _TIDY_EVERY:
            is_behind = clean(self._database, [self._tidy])
            if not is_behind:
                self._tidied = self._time()
        notes = [self._notes.popleft() for _ in range(min(len(self._notes), _AT_ONCE))]
        rows = self._database.chore(self._take)
        taken = [(row["topic"], row["channel"], row["event_id"]) for row in rows]
        if taken or notes:
            hit("receipts_after_take")
            try:
                self._send(notes + taken)
            except BaseException:
                self._notes.extend(notes)
                if rows:
                    self._database.chore(lambda connection: connection.execute(sa.insert(receipts_due), rows))
                raise
            hit("receipts_after_publish")
        return 0 if is_behind or self._notes or len(rows) == _AT_ONCE else None

    def _take(self, connection: Connection) -> list[dict[str, Any]]:
        # taken away before they are sent: if this process dies between, the origin sends those events again, no harm done
        chosen = skip_locked(sa.select(receipts_due.c.id).order_by(receipts_due.c.id).limit(_AT_ONCE))
        ids = list(connection.scalars(chosen))
        if not ids:
            return []
        rows = connection.execute(sa.select(receipts_due).where(receipts_due.c.id.in_(ids)))
        taken = [
            {"reply_topic": row.reply_topic, "topic": row.topic, "channel": row.channel, "event_id": row.event_id}
            for row in rows
        ]
        connection.execute(sa.delete(receipts_due).where(receipts_due.c.id.in_(ids)))
        return taken

    def _send(self, receipts: Sequence[tuple[str, str, str]]) -> None:
        batches: dict[Address, list[str]] = {}
        for topic, channel, event_id in receipts:
            batches.setdefault((topic, channel), []).append(event_id)
        for (topic, channel), ids in batches.items():
            self._publish(topic, channel, {}, ids)

    def _publish(
        self, topic: str, channel: str, since: dict[str, float], ids: Sequence[str], *, is_all: bool = False
    ) -> None:
        # straight to the engine: receipts are no events of the service, and its middleware has nothing to say to them
        reply = receipt_topic(topic)
        given = receipts_given_on(reply)(topic=topic, channel=channel, since=since, ids=tuple(ids), is_all=is_all)
        body = self._envelopes.encode(self._envelopes.make(given))
        self._engine.publish(reply, body, delay=0.0, timeout=self._timeout)

    # -- being there ------------------------------------------------------------------------------------------------

    def _speak(self) -> None:
        """Tell each origin what its channel is bound to: at the start, when it changes, and once a minute."""
        if len(self._bindings) == self._introduced and self._time() < self._next_word:
            return
        count = len(self._bindings)
        for (topic, channel), since in self._database.chore(self._confirm).items():
            try:
                receipt_topic(topic)
            except InvalidNameError:  # too long for its outbox as well
                log.debug("no receipts for %s: the name of the topic is too long", topic)
                continue
            if len(since) > MOST_TYPES:
                log.warning("%s/%s: more than %d types are bound; no receipts for it", topic, channel, MOST_TYPES)
                continue
            self._publish(topic, channel, since, (), is_all=True)
        self._introduced = count
        self._next_word = self._time() + HEARTBEAT * (0.8 + 0.4 * self._draw())

    def _confirm(self, connection: Connection) -> dict[Address, dict[str, float]]:
        """Say that this replica serves its bindings; return what all of them bind, and since when."""
        now = self._time()
        rows = [{"topic": t, "type": n, "channel": c, "since": now, "seen_at": now} for t, n, c in sorted(self._bindings)]
        insert_once(connection, bindings, rows)
        for topic, name, channel in sorted(self._bindings):
            mine = (bindings.c.topic == topic) & (bindings.c.type == name) & (bindings.c.channel == channel)
            connection.execute(sa.update(bindings).where(mine).values(seen_at=now))
        served = {(topic, channel) for topic, _, channel in self._bindings}
        since: dict[Address, dict[str, float]] = {}
        for row in connection.execute(sa.select(bindings).where(bindings.c.seen_at > now - _BOUND_FOR)):
            if (row.topic, row.channel) in served:
                since.setdefault((row.topic, row.channel), {})[row.type] = row.since
        return since

    # -- old claims -------------------------------------------------------------------------------------------------

    def _tidy(self, connection: Connection) -> int:
        old = inbox.c.claimed_at < self._time() - self._keep
        return delete_some(connection, inbox, old, limit=STEP, order=inbox.c.claimed_at)


def _is_awaited(context: Context) -> bool:
    """Whether somebody waits for a receipt; answers go to the event's own receipt topic and nowhere else."""
    reply = (context.envelope.extensions or {}).get(REPLY)
    return reply == f"{context.topic}.receipts" and len(reply) <= 64 and "\0" not in context.event_id
