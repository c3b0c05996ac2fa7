"""Register: which channels keep an inbox, as they told the origin of their events.

What a channel says is a claim. It is taken for a channel that is expected, or that the broker has; from others it is counted
and changes nothing. Its clock is not believed either: nobody is bound since a time that has not come here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.engines.base import TopicStats
from eventbus.runtime.guarded_log import guarded_log
from eventbus.sql.receipts import ANY, HEARTBEAT, Claim, Receipts
from eventbus.sql.statements import insert_once, lock_register, skip_locked
from eventbus.sql.tables import outbox, receipts, subscribers

log = guarded_log("eventbus.sql")

SLACK = 5.0
"""Seconds by which two services' clocks may differ: a channel bound so much later still counts as bound."""
_MOST_CHANNELS = 200
_ASK_AGAIN = 2.0
"""Seconds for which the broker's list of channels is believed: unknown names cost no more than that."""
_PATIENCE = 600.0
"""Seconds without a list of channels after which this counts as a broker that gives none, and not as one that is away."""


class Register:
    """Knows the subscribers of one outbox.

    Args:
        time: returns the seconds since 1970 by the origin's clock.
        stats: asks the broker; it may raise.
        expected: channels by topic that are waited for whether they were heard of or not.
    """

    def __init__(
        self,
        policy: Receipts,
        time: Callable[[], float],
        stats: Callable[[], dict[str, TopicStats]],
        expected: dict[str, tuple[str, ...]],
    ) -> None:
        self.refused = 0
        """Receipts that came from nobody who could give them."""
        self._policy = policy
        self._time = time
        self._stats = stats
        self._expected = expected
        self._known: set[tuple[str, str]] = set()
        self._unasked_since: float | None = None
        self._seen: dict[str, tuple[float, frozenset[str] | None]] = {}

    # -- whom to listen to ------------------------------------------------------------------------------------------

    def refuse(self, why: str) -> None:
        """Count a claim that changes nothing."""
        self.refused += 1
        if self.refused & (self.refused - 1) == 0:  # the 1st, 2nd, 4th, 8th...: whoever writes them fills no disk
            log.warning("%d receipts refused, the last one because %s", self.refused, why)

    def admits(self, topic: str, channel: str) -> bool | None:
        """Whether a channel may be who it says: it is known, expected, or one that the broker has. Asks the broker at
        most; None where it is away and nobody can say yet: whoever forges could wait for just that."""
        place = (topic, channel)
        if place in self._known or channel in self._expected.get(topic, ()):
            return True
        channels = self._channels(topic)
        if channels is None:
            if self._unasked_since is None or self._time() - self._unasked_since < _PATIENCE:
                return None
            log.warning("%s/%s says that it keeps an inbox; the broker cannot be asked whether it is there", topic, channel)
        elif channel not in channels or len([each for each in self._known if each[0] == topic]) >= _MOST_CHANNELS:
            return False
        self._known.add(place)
        return True

    def _channels(self, topic: str) -> frozenset[str] | None:
        now = self._time()
        asked, channels = self._seen.get(topic, (float("-inf"), frozenset()))
        if not 0 <= now - asked < _ASK_AGAIN:
            try:
                there = self._stats().get(topic)
                channels = frozenset() if there is None else frozenset(there.channels)
                self._unasked_since = None
            except Exception as error:
                log.debug("channels of %s: %s", topic, error)
                channels = None
                if self._unasked_since is None:
                    self._unasked_since = now
            self._seen[topic] = (now, channels)
        return channels

    def remembers(self, connection: Connection, topic: str, channel: str) -> bool:
        """Whether the channel was admitted before, also by another process."""
        there = sa.select(subscribers.c.type).where(subscribers.c.topic == topic, subscribers.c.channel == channel).limit(1)
        if connection.scalar(there) is None:
            return False
        self._known.add((topic, channel))
        return True

    # -- who is waited for ------------------------------------------------------------------------------------------

    def waited_for(self) -> sa.ColumnElement[bool]:
        """A subscriber that a row of the outbox waits for, whether or not it has answered."""
        heard = subscribers.c.seen_at > self._time() - self._policy.forget_after
        return (
            (subscribers.c.topic == outbox.c.topic)
            & ((subscribers.c.type == outbox.c.type) | (subscribers.c.type == ANY))
            & (subscribers.c.since <= outbox.c.published_at + SLACK)
            & (heard | (subscribers.c.type == ANY))
        )

    @staticmethod
    def has_answered() -> sa.ColumnElement[bool]:
        """Whether the subscriber has given a receipt for the row."""
        answer = sa.select(receipts.c.channel).where(
            receipts.c.event_id == outbox.c.event_id, receipts.c.channel == subscribers.c.channel
        )
        # said outright: left to itself, it would take any row's receipt for this row's
        return sa.exists(answer.correlate(outbox, subscribers))

    # -- what they say ----------------------------------------------------------------------------------------------

    def expect(self, connection: Connection) -> list[tuple[str, float]]:
        """Note the channels that are expected, and no others; return topics that have new ones, and since when."""
        now = self._time()
        new = []
        for topic, channels in self._expected.items():
            lock_register(connection)
            gone = (subscribers.c.topic == topic) & (subscribers.c.type == ANY) & subscribers.c.channel.not_in(channels)
            connection.execute(sa.delete(subscribers).where(gone))
            rows = [{"topic": topic, "type": ANY, "channel": each, "since": now, "seen_at": now} for each in channels]
            if insert_once(connection, subscribers, rows):
                new.append((topic, now))
        return new

    def note(self, connection: Connection, given: Claim | Any) -> dict[str, float]:
        """Note what a channel is bound to; return the types of which it may have missed events, and since when.

        Rows of `eventbus_subscribers` are written only where something changed, and once in a while for the sign of life:
        thousands of receipts in a second must not wait for one another.
        """
        now = self._time()
        topic, channel = given.topic, given.channel
        mine = (subscribers.c.topic == topic) & (subscribers.c.channel == channel) & (subscribers.c.type != ANY)
        query = sa.select(subscribers.c.type, subscribers.c.since, subscribers.c.seen_at).where(mine)
        there = {row.type: row for row in connection.execute(query)}
        since = {name: min(instant, now) for name, instant in given.since.items()}
        gone = sorted(there.keys() - since.keys()) if getattr(given, "is_all", False) else []
        lost = {name for name, row in there.items() if row.seen_at <= now - self._policy.forget_after}
        missed = {name: instant for name, instant in since.items() if name not in there}
        missed |= {name: max(since[name], there[name].seen_at) for name in lost & since.keys()}
        if gone or missed:
            lock_register(connection)
            connection.execute(sa.delete(subscribers).where(mine, subscribers.c.type.in_(gone)))
            rows = [
                {"topic": topic, "type": n, "channel": channel, "since": since[n], "seen_at": now} for n in sorted(missed)
            ]
            insert_once(connection, subscribers, rows)
            self._touch(connection, mine, sorted(lost), now)
        quiet = min(HEARTBEAT, self._policy.forget_after / 4)
        stale = sorted(name for name, row in there.items() if row.seen_at < now - quiet and name not in gone)
        if stale:
            self._touch(connection, mine, stale, now)
        return missed

    @staticmethod
    def _touch(connection: Connection, mine: sa.ColumnElement[bool], names: Sequence[str], now: float) -> None:
        if not names:
            return
        free = skip_locked(sa.select(subscribers.c.type).where(mine, subscribers.c.type.in_(names)))
        found = list(connection.scalars(free))  # who holds the others writes the same
        if found:
            connection.execute(sa.update(subscribers).where(mine, subscribers.c.type.in_(found)).values(seen_at=now))
