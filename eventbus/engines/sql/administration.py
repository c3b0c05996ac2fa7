"""Channels and topics, as they are made, paused, emptied and removed. Each function is one step of a transaction."""

from __future__ import annotations

from eventbus.engines.sql.appending import make_topic
from eventbus.engines.sql.history import first_since
from eventbus.engines.sql.ids import end
from eventbus.engines.sql.session import Session
from eventbus.engines.sql.subscription import Channel
from eventbus.names import is_ephemeral

ALIVE = 30.0
"""Seconds after its last sign of life for which a subscriber counts."""


def make_channel(session: Session, topic: str, channel: str, *, begin: float | None = None) -> int:
    """Return the number of a channel, made where it is missing.

    A topic's first channel begins with what nobody took; the others at the end, unless `begin` names an instant in seconds
    since 1970 from which on it gets the past. A channel that is there stays where it is.
    """
    number = make_topic(session, topic)
    find = "SELECT id FROM eventbus_bus_channels WHERE topic = ? AND name = ?"
    found = session.rows(find, (number, channel))
    if found:
        return int(found[0][0])
    # locks the topic's row: nothing is appended between the look at its end and the channel's beginning there
    session.run("UPDATE eventbus_bus_topics SET last = last WHERE id = ?", (number,))
    position = _beginning(session, number, begin)
    session.run(
        "INSERT INTO eventbus_bus_channels (topic, name, started, position) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (topic, name) DO NOTHING",
        (number, channel, position, position),
    )
    return int(session.rows(find, (number, channel))[0][0])


def _beginning(session: Session, topic: int, begin: float | None) -> int:
    last, start, paused_at = session.rows("SELECT last, start, paused_at FROM eventbus_bus_topics WHERE id = ?", (topic,))[0]
    if begin is not None:
        return first_since(session, topic, last, begin) - 1
    if not session.rows("SELECT 1 FROM eventbus_bus_channels WHERE topic = ? LIMIT 1", (topic,)):
        return int(start)
    return int(last if paused_at is None else paused_at)


def subscribe(session: Session, topic: str, channel: str, token: str) -> int:
    """Return the number of the channel, with a subscriber more."""
    number = make_channel(session, topic, channel)
    session.run(
        "INSERT INTO eventbus_bus_subscribers (token, channel, until) VALUES (?, ?, ?)", (token, number, session.now + ALIVE)
    )
    return number


def make_anew(session: Session, channel: Channel) -> None:
    """Make a channel that somebody removed under its subscribers."""
    channel.number = make_channel(session, channel.topic, channel.name)


def leave(session: Session, channel: int, token: str) -> None:
    """Note that a subscriber has left; an ephemeral channel goes with its last one."""
    session.run("DELETE FROM eventbus_bus_subscribers WHERE token = ?", (token,))
    found = session.rows("SELECT topic, name FROM eventbus_bus_channels WHERE id = ?", (channel,))
    if not found or not is_ephemeral(found[0][1]):
        return
    if session.rows("SELECT 1 FROM eventbus_bus_subscribers WHERE channel = ? AND until > ?", (channel, session.now)):
        return
    remove_channel(session, channel, int(found[0][0]))


def remove_channel(session: Session, channel: int, topic: int) -> None:
    """Remove a channel and what it had; with the last one, what comes waits for the next first channel."""
    session.lock_channels([channel])
    for table in ("leases", "exceptions", "subscribers"):
        session.run(f"DELETE FROM eventbus_bus_{table} WHERE channel = ?", (channel,))
    session.run("DELETE FROM eventbus_bus_channels WHERE id = ?", (channel,))
    if not session.rows("SELECT 1 FROM eventbus_bus_channels WHERE topic = ? LIMIT 1", (topic,)):
        session.run("UPDATE eventbus_bus_topics SET start = last WHERE id = ?", (topic,))


def beat(session: Session, tokens: list[str]) -> None:
    """Note that subscribers live, and forget those that died."""
    session.many(
        "UPDATE eventbus_bus_subscribers SET until = ? WHERE token = ?", [(session.now + ALIVE, token) for token in tokens]
    )
    dead = "SELECT token, channel FROM eventbus_bus_subscribers WHERE until < ? ORDER BY channel"
    for token, channel in session.rows(dead, (session.now - ALIVE,)):
        leave(session, int(channel), token)


def pause(session: Session, topic: str, channel: str | None, *, is_paused: bool) -> None:
    """Stop or resume a topic's copying or a channel's delivery."""
    if channel is None:
        number = make_topic(session, topic)
        what = "paused_at = coalesce(paused_at, last)" if is_paused else "paused_at = NULL"
        session.run(f"UPDATE eventbus_bus_topics SET {what} WHERE id = ?", (number,))
    else:
        made = make_channel(session, topic, channel)
        session.run("UPDATE eventbus_bus_channels SET is_paused = ? WHERE id = ?", (int(is_paused), made))


def empty(session: Session, topic: str, channel: str | None) -> None:
    """Pass over what waits in a topic or a channel."""
    if channel is None:
        _empty_topic(session, make_topic(session, topic))
        return
    number = make_channel(session, topic, channel)
    session.lock_channels([number])
    session.run(
        "UPDATE eventbus_bus_channels SET position = (SELECT coalesce(paused_at, last) FROM eventbus_bus_topics "
        "WHERE eventbus_bus_topics.id = eventbus_bus_channels.topic) WHERE id = ?",
        (number,),
    )
    session.run(
        "DELETE FROM eventbus_bus_exceptions WHERE channel = ? AND (token IS NULL OR due <= ?)", (number, session.now)
    )


def _empty_topic(session: Session, topic: int) -> None:
    session.run("UPDATE eventbus_bus_topics SET last = last WHERE id = ?", (topic,))
    paused_at = session.rows("SELECT paused_at FROM eventbus_bus_topics WHERE id = ?", (topic,))[0][0]
    if paused_at is None:
        session.run("UPDATE eventbus_bus_topics SET start = last WHERE id = ?", (topic,))
        return
    session.run("DELETE FROM eventbus_bus_log WHERE id > ? AND id <= ?", (paused_at, end(topic)))
    session.run(
        "UPDATE eventbus_bus_channels SET position = (SELECT last FROM eventbus_bus_topics WHERE id = ?) "
        "WHERE topic = ? AND position >= ?",
        (topic, topic, paused_at),
    )
    session.run("UPDATE eventbus_bus_topics SET paused_at = last WHERE id = ?", (topic,))
