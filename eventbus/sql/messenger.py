"""Messenger: carries an inbox's receipts to the origins of the events, in batches, and clears away old claims."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.engines.base import Engine
from eventbus.errors import InvalidNameError
from eventbus.names import check_name
from eventbus.runtime.failpoints import hit
from eventbus.sql.database import Database, insert_once, skip_locked
from eventbus.sql.receipts import receipt_topic, receipts_given_on
from eventbus.sql.rounds import Rounds
from eventbus.sql.tables import bindings, inbox, receipts_due

if TYPE_CHECKING:
    from eventbus.bus import Bus

log = logging.getLogger("eventbus.sql")

_AT_ONCE = 500
_LINGER = 0.1
"""Seconds in which receipts gather before they are sent: one message for hundreds."""
_TIDY_EVERY = 60.0


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
        self._since: dict[tuple[str, str], dict[str, float]] = {}
        self._noted = 0
        self._introduced: set[tuple[str, str]] = set()
        self._tidied = 0.0
        self._rounds = Rounds(
            f"receipts of {name}", self._work, bus.engine.clock, poll=poll, linger=_LINGER, draw=bus.randomness.random
        )
        self.wake = self._rounds.wake
        self.is_idle = self._rounds.is_idle
        self.stop = self._rounds.stop

    def complain(self, error: Exception) -> None:
        """Log a receipt that could not be noted."""
        log.warning("%s: a receipt could not be noted, the event comes again: %s", self._name, type(error).__name__)

    def _note_bindings(self, connection: Connection) -> dict[tuple[str, str], dict[str, float]]:
        """Return since when the channels are bound: by (topic, channel), by type name."""
        now = self._time()
        rows = [{"topic": t, "type": n, "channel": c, "since": now} for t, n, c in sorted(self._bindings)]
        insert_once(connection, bindings, rows)
        since: dict[tuple[str, str], dict[str, float]] = {}
        for row in connection.execute(sa.select(bindings)):
            if (row.topic, row.type, row.channel) in self._bindings:
                since.setdefault((row.topic, row.channel), {})[row.type] = row.since
        return since

    def _work(self) -> float | None:
        self._introduce()
        if self._time() - self._tidied > _TIDY_EVERY:
            self._database.transact(self._tidy)
            self._tidied = self._time()
        rows = self._database.transact(self._take)
        if not rows:
            return None
        hit("receipts_after_take")
        try:
            self._send(rows)
        except BaseException:
            self._database.transact(lambda connection: connection.execute(sa.insert(receipts_due), rows))
            raise
        hit("receipts_after_publish")
        return 0 if len(rows) == _AT_ONCE else None

    def _introduce(self) -> None:
        """Tell each origin once that its channel is there, before any event came."""
        count = len(self._bindings)
        if count != self._noted:
            self._since = self._database.transact(self._note_bindings)
            self._noted = count
        for topic, channel in sorted(self._since.keys() - self._introduced):
            try:
                reply = receipt_topic(topic)
            except InvalidNameError:  # too long for its outbox as well
                log.debug("no receipts for %s: the name of the topic is too long", topic)
            else:
                self._publish(reply, topic, channel, [])
            self._introduced.add((topic, channel))

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

    def _send(self, rows: list[dict[str, Any]]) -> None:
        batches: dict[tuple[str, str, str], list[str]] = {}
        for row in rows:
            batches.setdefault((row["reply_topic"], row["topic"], row["channel"]), []).append(row["event_id"])
        for (reply, topic, channel), ids in batches.items():
            try:
                check_name(reply, kind="topic")
            except InvalidNameError as error:
                log.warning("receipts for %s/%s have nowhere to go: %s", topic, channel, error)
                continue
            self._publish(reply, topic, channel, ids)

    def _publish(self, reply: str, topic: str, channel: str, ids: list[str]) -> None:
        # straight to the engine: receipts are no events of the service, and its middleware has nothing to say to them
        given = receipts_given_on(reply)(
            topic=topic, channel=channel, since=self._since.get((topic, channel), {}), ids=tuple(ids)
        )
        body = self._envelopes.encode(self._envelopes.make(given))
        self._engine.publish(reply, body, delay=0.0, timeout=self._timeout)

    def _tidy(self, connection: Connection) -> None:
        old = sa.select(inbox.c.channel, inbox.c.event_id).where(inbox.c.claimed_at < self._time() - self._keep)
        rows = list(connection.execute(skip_locked(old.limit(2000))))
        for row in rows:
            mine = (inbox.c.channel == row.channel) & (inbox.c.event_id == row.event_id)
            connection.execute(sa.delete(inbox).where(mine))
