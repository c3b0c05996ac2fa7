"""Using: who sends a version of an event and who still gets it, as far as a journal goes back."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.journal.logged import Use, Uses
from eventbus.journal.tables import batches, events, records
from eventbus.journal.topics import CHANNEL

_OPEN = ("retried", "postponed", "early", "returned", "skipped")
"""Outcomes after which a delivery comes again, or which say nothing of the channel's progress."""


def uses(connection: Connection, topic: str, type: str, version: int) -> Uses:
    """Return what the journal's tables know of a version; see `Uses`. Reads all events of the type."""
    of_version = (events.c.topic == topic, events.c.type == type, events.c.version == version)
    count = sa.func.count()
    sent = sa.select(events.c.source, count, sa.func.max(events.c.time)).where(*of_version).group_by(events.c.source)
    told = records.c.topic == topic, records.c.channel != ""
    got = (
        sa.select(records.c.channel, count, sa.func.max(records.c.end))
        .where(*told, records.c.type == type, records.c.version == version)
        .group_by(records.c.channel)
    )
    ended = (
        sa.select(records.c.channel, sa.func.max(records.c.published))
        .where(*told, records.c.outcome.not_in(_OPEN), records.c.published.is_not(None))
        .group_by(records.c.channel)
    )
    logged = connection.scalar(sa.select(sa.func.max(events.c.time)).where(events.c.topic == topic))
    return Uses(
        begin=connection.scalar(sa.select(batches.c.at).order_by(batches.c.number).limit(1)),
        senders=[Use(*row) for row in connection.execute(sent.order_by(events.c.source))],
        readers=[Use(*row) for row in connection.execute(got.order_by(records.c.channel))],
        passed={CHANNEL: logged or 0.0, **{row[0]: row[1] for row in connection.execute(ended)}},
    )
