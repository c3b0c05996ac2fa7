"""Parked: dead letters of handlers with an inbox, as safe as the database.

A dead letter in the broker alone is lost with the broker, and its receipt has settled the event at its origin: nobody would
have it any more. So it is a row here first, and the broker's copy is what the tools look at. The row stays until the
event was handled after a replay, or the letter was discarded; the tools say both on `<topic>.<channel>.done`. Where the
broker holds fewer letters than there are rows, it lost some, and all are sent again; the tools pass over doubles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.context import Context
from eventbus.dead_letters.done import LettersDone, letters_done_on
from eventbus.dead_letters.letter import mark_kept
from eventbus.errors import Rejected
from eventbus.names import PARKED, dead_letter_topic
from eventbus.retry import Retry
from eventbus.runtime.guarded_log import guarded_log
from eventbus.service import Service
from eventbus.sql.claims import key_of, which
from eventbus.sql.database import Database
from eventbus.sql.jobs import after_commit
from eventbus.sql.rounds import Rounds
from eventbus.sql.statements import insert_once, within
from eventbus.sql.tables import dead_letters
from eventbus.wire.envelope import REPEATED

if TYPE_CHECKING:
    from eventbus.bus import Bus

log = guarded_log("eventbus.sql")

_AT_ONCE = 100
_BYTES = 8 * 1024 * 1024
_LOOK_EVERY = 15.0
"""Seconds between two looks whether the broker still holds the letters; twice too few is a loss."""
_REPLAYED_FOR = 3600.0
"""Seconds after which a replayed letter that was neither handled nor parked again counts as lost."""


class Parked:
    """Keeps the dead letters of one inbox and brings them to the broker.

    Args:
        name: of the inbox, for people.
        poll: seconds between two looks for letters that other processes left.
    """

    def __init__(self, name: str, database: Database, bus: Bus, *, poll: float) -> None:
        self._database = database
        self._bus = bus
        self._time = bus.engine.clock.time
        self._listening: set[tuple[str, str]] = set()
        self._short: set[tuple[str, str]] = set()
        """Topics and channels of which the broker held too few letters at the last look."""
        self._looked = self._time()
        self._rounds = Rounds(
            f"dead letters of {name}", self._work, bus.engine.clock, poll=max(poll, 1.0), draw=bus.randomness.random
        )
        self.is_idle = self._rounds.is_idle
        self.stop = self._rounds.stop
        self.abandon = self._rounds.abandon

    # -- in the inbox's transactions --------------------------------------------------------------------------------

    def keep(self, connection: Connection, context: Context, letter: bytes) -> None:
        """Keep a letter; it goes to the broker after the commit."""
        key = key_of(context)
        now = self._time()
        row = dict(zip(("channel", "topic", "source", "event_id"), key, strict=True))
        marked = mark_kept(letter)
        body = marked if len(marked) <= self._bus.engine.max_message_bytes else letter
        change = {"body": body, "parked_at": now, "sent_at": None, "replayed_at": None}
        if not insert_once(connection, dead_letters, [{**row, "letter_id": context.event_id, **change}]):
            connection.execute(sa.update(dead_letters).where(which(dead_letters, key)).values(change))
        after_commit(connection, self._rounds.wake)

    @staticmethod
    def holds(connection: Connection, context: Context) -> bool:
        """Whether an event that was sent again, for want of a receipt, is a dead letter already."""
        extensions = context.envelope.extensions
        if extensions is None or REPEATED not in extensions:
            return False
        return connection.scalar(sa.select(dead_letters.c.id).where(which(dead_letters, key_of(context)))) is not None

    @staticmethod
    def release(connection: Connection, context: Context) -> None:
        """Keep the letter of an event no longer: it had its effect."""
        connection.execute(sa.delete(dead_letters).where(which(dead_letters, key_of(context))))

    # -- rounds -----------------------------------------------------------------------------------------------------

    def _work(self) -> float | None:
        rows = self._database.chore(self._take)
        by_place: dict[tuple[str, str], list[Any]] = {}
        for row in rows:
            by_place.setdefault((row.topic, row.channel), []).append(row)
        failed: Exception | None = None
        for (topic, channel), letters in by_place.items():
            try:
                self._listen(topic, channel)
                self._send(dead_letter_topic(topic, channel), letters)
            except Exception as error:  # one topic that cannot be published to holds up no other
                failed = failed or error
        if failed is not None:
            raise failed
        if rows:
            return 0
        if self._time() - self._looked >= _LOOK_EVERY:
            self._looked = self._time()
            self._look()
        return None

    def _send(self, dead_topic: str, letters: Sequence[Any]) -> None:
        engine, timeout = self._bus.engine, self._bus.publish_timeout
        engine.declare(dead_topic, [PARKED])
        try:
            engine.publish_many(dead_topic, [row.body for row in letters], timeout=timeout)
        except Rejected:
            for row in letters:  # one of them, perhaps: each by itself
                try:
                    engine.publish(dead_topic, row.body, delay=0.0, timeout=timeout)
                except Rejected as error:
                    log.error(
                        "the broker refuses dead letter %s of %s, it stays in the database: %s",
                        row.letter_id,
                        dead_topic,
                        error,
                    )
        self._mark([row.id for row in letters])

    def _take(self, connection: Connection) -> list[Any]:
        sizes = sa.select(dead_letters.c.id, sa.func.length(dead_letters.c.body).label("size")).where(
            dead_letters.c.sent_at.is_(None)
        )
        ids = within(connection.execute(sizes.order_by(dead_letters.c.id).limit(_AT_ONCE)).all(), _BYTES)
        if not ids:
            return []
        chosen = sa.select(dead_letters).where(dead_letters.c.id.in_(ids)).order_by(dead_letters.c.id)
        return list(connection.execute(chosen))

    def _mark(self, ids: Sequence[int]) -> None:
        change = sa.update(dead_letters).where(dead_letters.c.id.in_(ids)).values(sent_at=self._time())
        self._database.chore(lambda connection: connection.execute(change))

    def _look(self) -> None:
        """Send letters again that the broker lost."""
        kept = self._database.chore(self._count)
        if not kept:
            return
        stats = self._bus.engine.stats()
        short = set()
        for (topic, channel), count in kept.items():
            self._listen(topic, channel)
            there = stats.get(dead_letter_topic(topic, channel))
            parked = None if there is None else there.channels.get(PARKED)
            held = 0 if there is None else there.depth
            held += 0 if parked is None else parked.depth + parked.in_flight + parked.deferred
            if held >= count:
                continue
            if (topic, channel) not in self._short:
                short.add((topic, channel))
                continue
            log.warning("the broker holds %d of %d dead letters of %s on %s: sent again", held, count, topic, channel)
            again = (
                sa.update(dead_letters)
                .where(dead_letters.c.topic == topic, dead_letters.c.channel == channel, self._is_here())
                .values(sent_at=None, replayed_at=None)
            )
            self._database.chore(lambda connection, again=again: connection.execute(again))  # type: ignore[misc]
            self._rounds.wake()
        self._short = short

    def _is_here(self) -> sa.ColumnElement[bool]:
        replayed, now = dead_letters.c.replayed_at, self._time()
        # an instant that has not come yet is that of a replica with a wrong clock
        is_over = (replayed < now - _REPLAYED_FOR) | (replayed > now + _REPLAYED_FOR)
        return dead_letters.c.sent_at.is_not(None) & (replayed.is_(None) | is_over)

    def _count(self, connection: Connection) -> dict[tuple[str, str], int]:
        place = (dead_letters.c.topic, dead_letters.c.channel)
        counted = sa.select(*place, sa.func.count()).where(self._is_here()).group_by(*place)
        return {(topic, channel): count for topic, channel, count in connection.execute(counted)}

    # -- what the tools say -----------------------------------------------------------------------------------------

    def _listen(self, topic: str, channel: str) -> None:
        if (topic, channel) in self._listening:
            return
        done = letters_done_on(topic, channel)

        def take(event: LettersDone) -> None:
            self._database.chore(lambda connection: self._note_done(connection, topic, channel, event))

        listener = Service(channel)
        listener.on(done, retry=Retry(attempts=50, first=0.5, ceiling=300.0), concurrency=1)(take)
        self._bus.start(listener)
        self._listening.add((topic, channel))

    def _note_done(self, connection: Connection, topic: str, channel: str, event: LettersDone) -> None:
        mine = (
            (dead_letters.c.topic == topic) & (dead_letters.c.channel == channel) & dead_letters.c.letter_id.in_(event.ids)
        )
        if event.is_replayed:
            connection.execute(sa.update(dead_letters).where(mine).values(replayed_at=self._time()))
        else:
            connection.execute(sa.delete(dead_letters).where(mine))
