"""History: what lies in the log, and how a channel gets it again.

A replay makes an exception of each message that is to come again: whoever subscribes to the channel takes it beside what is
new, and the log stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from eventbus.engines.base import Past
from eventbus.engines.sql.ids import base
from eventbus.engines.sql.session import Session
from eventbus.errors import ConfigurationError


def first_since(session: Session, topic: int, last: int, at: float) -> int:
    """Return the id of a topic's first message that is not older than `at`; one behind `last` where there is none.

    Messages lie in the order of their times, so that a few looks are enough.
    """
    low, high = base(topic) + 1, last + 1
    while low < high:
        middle = (low + high) // 2
        found = session.rows(
            "SELECT id, at FROM eventbus_bus_log WHERE id >= ? AND id <= ? ORDER BY id LIMIT 1", (middle, last)
        )
        if not found or found[0][1] >= at:
            high = middle
        else:
            low = found[0][0] + 1
    found = session.rows("SELECT id FROM eventbus_bus_log WHERE id >= ? AND id <= ? ORDER BY id LIMIT 1", (low, last))
    return int(found[0][0]) if found else last + 1


def past(
    session: Session, topic: str, *, after: int, since: float | None, until: float | None, most: int, most_bytes: int
) -> Sequence[Past]:
    """Return what lies in the log of a topic behind position `after`, in order."""
    number, last = _find(session, topic)
    begin = max(after, base(number))
    if since is not None:
        begin = max(begin, first_since(session, number, last, since) - 1)
    end = last if until is None else first_since(session, number, last, until) - 1
    if begin >= end:
        return []
    return [Past(id, at, bytes(body)) for id, at, _, body in session.run_of_log(begin, end, most, most_bytes)]


def repeat(session: Session, topic: str, channel: str, positions: Sequence[int]) -> int:
    """Have a channel get messages again; return how many. What it has not taken yet comes anyway, and so does what it is to
    try again."""
    number, _ = _find(session, topic)
    found = session.rows("SELECT id, position FROM eventbus_bus_channels WHERE topic = ? AND name = ?", (number, channel))
    if not found:
        raise ConfigurationError(f"topic {topic!r} has no channel {channel!r}; see: eventbus topics")
    target, position = found[0]
    session.lock_channels([target])
    wanted = [id for id in positions if id <= position]
    count = 0
    for id in wanted:
        count += session.run(
            "INSERT INTO eventbus_bus_exceptions (id, channel, attempts, due) SELECT id, ?, 0, 0 FROM eventbus_bus_log "
            "WHERE id = ? ON CONFLICT (id, channel) DO NOTHING",
            (target, id),
        )
    return count


def _find(session: Session, topic: str) -> tuple[int, int]:
    found = session.rows("SELECT id, last FROM eventbus_bus_topics WHERE name = ?", (topic,))
    if not found:
        raise ConfigurationError(f"no topic {topic!r} in this database; see: eventbus topics")
    return int(found[0][0]), int(found[0][1])
