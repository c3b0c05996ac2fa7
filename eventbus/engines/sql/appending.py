"""Appending to the log. The topic's row counts its messages and is held until the commit, so that ids are the order of
commits: no reader ever steps over a number that comes later."""

from __future__ import annotations

from collections.abc import Sequence

from eventbus.engines.sql.ids import MOST_TOPICS, base
from eventbus.engines.sql.session import Session
from eventbus.errors import ConfigurationError


def append(session: Session, topic: str, messages: Sequence[tuple[float, bytes]]) -> None:
    """Write messages (the instant before which nobody gets it, 0 for none; the body) behind the topic's last one."""
    now = session.now
    last = _count(session, topic, len(messages))
    session.add_to_log([(id, now, due, body) for id, (due, body) in enumerate(messages, last - len(messages) + 1)])


def _count(session: Session, topic: str, count: int) -> int:
    statement = "UPDATE eventbus_bus_topics SET last = last + ? WHERE name = ? RETURNING last"
    found = session.rows(statement, (count, topic))
    if not found:
        make_topic(session, topic)
        found = session.rows(statement, (count, topic))
    return int(found[0][0])


def make_topic(session: Session, topic: str) -> int:
    """Return the number of a topic, made where it is missing."""
    find = "SELECT id FROM eventbus_bus_topics WHERE name = ?"
    found = session.rows(find, (topic,))
    if not found:
        session.run(
            "INSERT INTO eventbus_bus_topics (name, made, last, start) VALUES (?, ?, 0, 0) ON CONFLICT (name) DO NOTHING",
            (topic, session.now),
        )
        found = session.rows(find, (topic,))
        number = int(found[0][0])
        if number >= MOST_TOPICS:
            raise ConfigurationError(f"topic {topic!r}: {MOST_TOPICS:,} topics are the most of one database")
        session.run(
            "UPDATE eventbus_bus_topics SET last = ?, start = ? WHERE id = ? AND last = 0",
            (base(number), base(number), number),
        )
    return int(found[0][0])
