"""Counting: what lies where, for `stats`."""

from __future__ import annotations

from collections import defaultdict

from eventbus.engines.base import ChannelStats, TopicStats
from eventbus.engines.sql.ids import base
from eventbus.engines.sql.session import Session


def stats(session: Session) -> dict[str, TopicStats]:
    """Return counts of all topics. The log itself is not read: a backlog of millions costs nothing."""
    leased = {channel: int(count) for channel, count in session.rows(_LEASED)}
    singles = {row[0]: tuple(map(int, row[1:])) for row in session.rows(_SINGLES, (session.now,) * 3)}
    subscribers = {channel: int(count) for channel, count in session.rows(_SUBSCRIBERS, (session.now,))}
    channels: dict[int, dict[str, ChannelStats]] = defaultdict(dict)
    for number, topic, name, started, position, is_paused, requeued, timed_out, last, paused_at in session.rows(_CHANNELS):
        ready, deferred, held = singles.get(number, (0, 0, 0))
        limit = last if paused_at is None else paused_at
        channels[topic][name] = ChannelStats(
            depth=max(limit - position, 0) + ready,
            in_flight=leased.get(number, 0) + held,
            deferred=deferred,
            subscribers=subscribers.get(number, 0),
            is_paused=bool(is_paused),
            messages=last - started,
            requeued=requeued,
            timed_out=timed_out,
        )
    found = {}
    for number, name, last, start, paused_at, made in session.rows(_TOPICS):
        if paused_at is not None:
            depth = last - paused_at
        else:
            depth = 0 if channels[number] else last - start
        found[name] = TopicStats(depth, channels[number], paused_at is not None, messages=last - base(number), started=made)
    return found


_TOPICS = "SELECT id, name, last, start, paused_at, made FROM eventbus_bus_topics ORDER BY name"
_CHANNELS = (
    "SELECT c.id, c.topic, c.name, c.started, c.position, c.is_paused, c.requeued, c.timed_out, t.last, t.paused_at "
    "FROM eventbus_bus_channels c JOIN eventbus_bus_topics t ON t.id = c.topic ORDER BY c.name"
)
_LEASED = "SELECT channel, sum(remaining) FROM eventbus_bus_leases GROUP BY channel"
_SINGLES = (
    "SELECT channel, sum(CASE WHEN due <= ? THEN 1 ELSE 0 END), sum(CASE WHEN due > ? AND token IS NULL THEN 1 ELSE 0 END), "
    "sum(CASE WHEN due > ? AND token IS NOT NULL THEN 1 ELSE 0 END) FROM eventbus_bus_exceptions GROUP BY channel"
)
_SUBSCRIBERS = "SELECT channel, count(*) FROM eventbus_bus_subscribers WHERE until > ? GROUP BY channel"
