"""Leases: what a subscriber takes of its channel, and what it writes down of it.

A run of the log costs one row, whatever its length: a bit for each message that is answered. Only what was not finished in
its run becomes a row of its own, an exception. A lease, or a held exception, whose time is up goes to whoever looks next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from eventbus.engines.sql.session import Row, Session

MOST = 512
"""Messages taken in one step, so that no transaction is long."""


@dataclass(slots=True)
class Ask:
    """What one subscriber has room for.

    Attributes:
        token: names this taking in the tables; no other has the same.
        room, most_bytes: what it may take.
        seconds: for which it may hold it.
        run: what it got of the log (id, time, body), in a lease from `first` on.
        singles: what it got of the exceptions (id, attempts, time, body).
    """

    token: str
    room: int
    most_bytes: int
    seconds: float
    first: int = 0
    run: list[tuple[int, float, bytes]] = field(default_factory=list)
    singles: list[tuple[int, int, float, bytes]] = field(default_factory=list)


@dataclass(slots=True)
class Look:
    """What was found on a channel.

    Attributes:
        has_more: whether something was left that could be taken at once.
        next_due: when there may be something again though nobody publishes.
        is_gone: whether there is no such channel any more.
    """

    has_more: bool = False
    next_due: float = math.inf
    is_gone: bool = False


@dataclass(slots=True)
class Settlement:
    """What became of one taking since it was written down last.

    Attributes:
        is_lease: of a run; else of exceptions alone.
        finished: ids of exceptions that are done.
        back: id, attempts and due time of what comes again.
        done, remaining, until: of the lease now.
        touched: id and new time of exceptions.
        is_lost: set where somebody else has it now.
    """

    token: str
    channel: int
    is_lease: bool
    done: bytes = b""
    remaining: int = 0
    until: float = 0.0
    finished: list[int] = field(default_factory=list)
    back: list[tuple[int, int, float]] = field(default_factory=list)
    touched: list[tuple[int, float]] = field(default_factory=list)
    requeued: int = 0
    timed_out: int = 0
    is_lost: bool = False

    @property
    def is_quiet(self) -> bool:
        """Whether it changes nothing of its channel that others look at."""
        return self.is_lease and not self.back


def may_take(session: Session, channel: int) -> tuple[bool, float]:
    """Return whether a look at the channel would find something, and when it would if not. Only reads."""
    found = session.rows(_STATE, (channel,))
    if not found:
        return True, math.inf
    position, is_paused, last, paused_at = found[0]
    if is_paused:
        return False, math.inf
    due = _next_due(session, channel)
    return position < (last if paused_at is None else paused_at) or due <= session.now, due


_STATE = (
    "SELECT c.position, c.is_paused, t.last, t.paused_at FROM eventbus_bus_channels c "
    "JOIN eventbus_bus_topics t ON t.id = c.topic WHERE c.id = ?"
)


def _next_due(session: Session, channel: int) -> float:
    (due, until) = session.rows(
        "SELECT (SELECT min(due) FROM eventbus_bus_exceptions WHERE channel = ?), "
        "(SELECT min(until) FROM eventbus_bus_leases WHERE channel = ?)",
        (channel, channel),
    )[0]
    return min(math.inf if due is None else due, math.inf if until is None else until)


def take(session: Session, channel: int, asks: Sequence[Ask]) -> Look:
    """Fill what subscribers of a channel ask for, and write down that they have it. The channel is locked."""
    found = session.rows(_STATE, (channel,))
    if not found:
        return Look(is_gone=True)
    position, is_paused, last, paused_at = found[0]
    if is_paused:
        return Look()
    limit = last if paused_at is None else paused_at
    due = _next_due(session, channel)
    if due <= session.now:
        _reclaim(session, channel)
        _take_exceptions(session, channel, asks)
        due = _next_due(session, channel)
    if position < limit:
        if _take_run(session, channel, position, limit, asks):
            due = _next_due(session, channel)
        else:
            due = min([due, *(session.now + ask.seconds for ask in asks if ask.run)])
        position = session.rows("SELECT position FROM eventbus_bus_channels WHERE id = ?", (channel,))[0][0]
    return Look(has_more=position < limit or due <= session.now, next_due=due)


def _reclaim(session: Session, channel: int) -> None:
    """Make exceptions of what is unanswered in leases whose time is up."""
    for token, first, last, done in session.rows(
        "SELECT token, first, last, done FROM eventbus_bus_leases WHERE channel = ? AND until <= ?", (channel, session.now)
    ):
        left = [id for (id,) in session.rows("SELECT id FROM eventbus_bus_log WHERE id >= ? AND id <= ?", (first, last))]
        left = [id for id in left if not done[(id - first) >> 3] >> ((id - first) & 7) & 1]
        session.run("DELETE FROM eventbus_bus_leases WHERE token = ?", (token,))
        _add_exceptions(session, channel, [(id, 1, session.now) for id in left])
        session.run("UPDATE eventbus_bus_channels SET timed_out = timed_out + ? WHERE id = ?", (len(left), channel))


def _add_exceptions(session: Session, channel: int, rows: Sequence[tuple[int, int, float]]) -> None:
    session.many(
        # it may be one already, of a replay: then it comes again as that
        "INSERT INTO eventbus_bus_exceptions (id, channel, attempts, due) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (id, channel) DO NOTHING",
        [(id, channel, attempts, due) for id, attempts, due in rows],
    )


def _take_exceptions(session: Session, channel: int, asks: Sequence[Ask]) -> None:
    room = min(sum(ask.room for ask in asks), MOST)
    ready = session.rows(
        "SELECT id, attempts, token FROM eventbus_bus_exceptions WHERE channel = ? AND due <= ? ORDER BY due, id LIMIT ?",
        (channel, session.now, room),
    )
    timed_out = sum(token is not None for _, _, token in ready)
    if timed_out:
        session.run("UPDATE eventbus_bus_channels SET timed_out = timed_out + ? WHERE id = ?", (timed_out, channel))
    waiting = list(reversed(ready))
    full = 0
    while waiting and full < len(asks):
        full = 0
        for ask in asks:
            if not waiting:
                break
            if ask.room <= 0 or (ask.most_bytes <= 0 and ask.singles):
                full += 1
                continue
            id, attempts, _ = waiting.pop()
            _take_exception(session, channel, ask, id, attempts + 1)


def _take_exception(session: Session, channel: int, ask: Ask, id: int, attempts: int) -> None:
    found = session.rows("SELECT at, body FROM eventbus_bus_log WHERE id = ?", (id,))
    if not found:  # removed by hand
        session.run("DELETE FROM eventbus_bus_exceptions WHERE id = ? AND channel = ?", (id, channel))
        return
    session.run(
        "UPDATE eventbus_bus_exceptions SET attempts = ?, due = ?, token = ? WHERE id = ? AND channel = ?",
        (attempts, session.now + ask.seconds, ask.token, id, channel),
    )
    at, body = found[0]
    ask.room -= 1
    ask.most_bytes -= len(body)
    ask.singles.append((id, attempts, at, bytes(body)))


def _take_run(session: Session, channel: int, position: int, limit: int, asks: Sequence[Ask]) -> bool:
    """Return whether something was put off, too."""
    is_put_off = False
    for number, ask in enumerate(asks):
        share = -(-(limit - position) // (len(asks) - number))  # each its part of what there is, not one all of it
        most = min(ask.room, share, MOST)
        if position >= limit or most <= 0 or (ask.most_bytes <= 0 and ask.singles):
            continue
        rows = session.run_of_log(position, limit, most, max(ask.most_bytes, 1))
        if not rows:
            position = limit  # a gap: what lay there was thrown away
            continue
        later = [(row[0], 0, row[2]) for row in rows if row[2] > session.now]
        if later:
            is_put_off = True
            _add_exceptions(session, channel, later)
        _lease(session, channel, ask, [row for row in rows if row[2] <= session.now])
        position = rows[-1][0]
    session.run("UPDATE eventbus_bus_channels SET position = ? WHERE id = ?", (position, channel))
    return is_put_off


def _lease(session: Session, channel: int, ask: Ask, rows: Sequence[Row]) -> None:
    if not rows:
        return
    first, last = rows[0][0], rows[-1][0]
    done = bytearray((last - first >> 3) + 1)
    if last - first + 1 > len(rows):  # put off, or thrown away: nothing to answer
        there = {row[0] for row in rows}
        for id in range(first, last + 1):
            if id not in there:
                done[(id - first) >> 3] |= 1 << ((id - first) & 7)
    ask.first = first
    ask.run = [(id, at, bytes(body)) for id, at, _, body in rows]
    session.run(
        "INSERT INTO eventbus_bus_leases (token, channel, first, last, done, remaining, until) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (ask.token, channel, first, last, bytes(done), len(rows), session.now + ask.seconds),
    )


def settle(session: Session, settlement: Settlement) -> None:
    """Write down what became of one taking; `is_lost` tells that it was somebody else's already."""
    channel, token = settlement.channel, settlement.token
    if settlement.is_lease:
        if settlement.remaining:
            changed = session.run(
                "UPDATE eventbus_bus_leases SET done = ?, remaining = ?, until = ? WHERE token = ?",
                (settlement.done, settlement.remaining, settlement.until, token),
            )
        else:
            changed = session.run("DELETE FROM eventbus_bus_leases WHERE token = ?", (token,))
        settlement.is_lost = changed == 0
        if settlement.is_lost:
            return
        if settlement.back:
            _add_exceptions(session, channel, settlement.back)
    else:
        _settle_singles(session, settlement)
    if settlement.requeued or settlement.timed_out:
        session.run(
            "UPDATE eventbus_bus_channels SET requeued = requeued + ?, timed_out = timed_out + ? WHERE id = ?",
            (settlement.requeued, settlement.timed_out, channel),
        )


def _settle_singles(session: Session, settlement: Settlement) -> None:
    channel, token = settlement.channel, settlement.token
    session.many(
        "DELETE FROM eventbus_bus_exceptions WHERE id = ? AND channel = ? AND token = ?",
        [(id, channel, token) for id in settlement.finished],
    )
    session.many(
        "UPDATE eventbus_bus_exceptions SET attempts = ?, due = ?, token = NULL WHERE id = ? AND channel = ? AND token = ?",
        [(attempts, due, id, channel, token) for id, attempts, due in settlement.back],
    )
    session.many(
        "UPDATE eventbus_bus_exceptions SET due = ? WHERE id = ? AND channel = ? AND token = ?",
        [(due, id, channel, token) for id, due in settlement.touched],
    )
