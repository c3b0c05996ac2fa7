"""Sunset: whether a version of an event may go: nobody sends it any more, and none lies anywhere.

What a journal knows is asked first, then the broker, the dead letters and the outboxes. What cannot be known stands in the
way, as what is known to be there does: the answer is yes only where all were asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from eventbus.bus import Bus
from eventbus.dead_letters import DeadLetter
from eventbus.engines.base import ChannelStats, TopicStats
from eventbus.errors import DecodeError, InvalidNameError
from eventbus.journal.logged import Uses
from eventbus.names import dead_letter_topic, is_ephemeral
from eventbus.sql import Database
from eventbus.sql.tables import outbox
from eventbus.wire.codec import decode

_MOST_ROWS = 100_000
"""Rows of an outbox that are looked at."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version of an event: `Version("orders_placed", "OrderPlaced", 1)`."""

    topic: str
    type: str
    number: int

    def is_of(self, body: bytes) -> bool:
        """Whether a message is one of it."""
        try:
            envelope = decode(body)
        except DecodeError:
            return False
        return envelope.type == self.type and envelope.version == self.number


@dataclass(slots=True)
class Answer:
    """Whether a version may go.

    Attributes:
        uses: what the journal knows.
        obstacles: why not, each a sentence; none if it may.
        notes: what was not asked.
    """

    uses: Uses
    obstacles: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def may_go(version: Version, uses: Uses, bus: Bus, outboxes: Sequence[Database], *, quiet: float, now: float) -> Answer:
    """Return whether a version may go, and why not.

    Args:
        outboxes: databases of all services that publish it.
        quiet: seconds for which nobody must have sent it.
        now: seconds since 1970.

    Raises:
        EventBusError: the broker does not answer.
        sqlalchemy.exc.SQLAlchemyError: an outbox cannot be read.
    """
    answer = Answer(uses)
    if uses.begin is None or now - uses.begin < quiet:
        reach = "is empty" if uses.begin is None else f"goes back {span(now - uses.begin)}"
        answer.obstacles.append(f"the journal {reach}, and nobody may have sent it for {span(quiet)}")
    for each in uses.senders:
        if now - each.last < quiet:
            answer.obstacles.append(f"{each.name} sent it {span(now - each.last)} ago, {each.count:,} in the journal")
    there = bus.engine.stats()
    last = max((each.last for each in uses.senders), default=uses.begin)
    for channel, counts in sorted(there[version.topic].channels.items() if version.topic in there else ()):
        if not is_ephemeral(channel):
            _look_at_queue(answer, channel, counts, last)
            _look_at_dead_letters(answer, version, bus, channel, there)
    if version.topic in there and there[version.topic].depth:
        answer.obstacles.append(f"{there[version.topic].depth:,} messages wait on the topic for its first channel")
    for database in outboxes:
        _look_at_outbox(answer, version, database)
    if not outboxes:
        answer.notes.append("no outbox was looked at; name those of all services that publish it with --outbox")
    return answer


def _look_at_queue(answer: Answer, channel: str, counts: ChannelStats, last: float | None) -> None:
    """A queue shows what is in it to nobody. Where the channel has ended with something that was published later, and holds
    nothing back, what is older has passed."""
    waits = counts.depth + counts.in_flight + counts.deferred
    if not waits:
        return
    passed = answer.uses.passed.get(channel)
    if last is not None and passed is not None and passed > last and not counts.deferred:
        return
    answer.obstacles.append(f"{waits:,} messages wait on channel {channel}, and any of them may be one")


def _look_at_dead_letters(answer: Answer, version: Version, bus: Bus, channel: str, there: dict[str, TopicStats]) -> None:
    try:
        if dead_letter_topic(version.topic, channel) not in there:
            return
    except InvalidNameError:  # a channel that can have none
        return

    def is_one(letter: DeadLetter) -> bool:
        return version.is_of(letter.body)

    found = bus.dead_letters(version.topic, channel).list(where=is_one)
    if found:
        newest = max(letter.last for letter in found)
        answer.obstacles.append(f"{len(found):,} dead letters of channel {channel}, the last parked {newest:%Y-%m-%d %H:%M}")


def _look_at_outbox(answer: Answer, version: Version, database: Database) -> None:
    query = (
        sa.select(outbox.c.body)
        .where(outbox.c.settled_at.is_(None), outbox.c.topic == version.topic, outbox.c.type == version.type)
        .order_by(outbox.c.id)
        .limit(_MOST_ROWS)
    )
    count = database.read(lambda connection: sum(version.is_of(body) for body in connection.scalars(query)))
    if count:
        answer.obstacles.append(f"{count:,} in the outbox of {database!r}")


def span(seconds: float) -> str:
    """Return a span in the largest unit of which it has two."""
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0.0):.0f} seconds"
