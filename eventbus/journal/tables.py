"""Tables of the journal.

The number of a row is that of its batch and a number within it, so that rows lie in the order in which they were written,
and retention takes whole batches away from the front. Instants are seconds since 1970.
"""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

VERSION = 1
"""Version of these tables."""
BATCH_BITS = 20
"""Of the number of a row within its batch."""

_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
# compared byte by byte on both databases, so that an index finds what begins with a text
_Text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

events = sa.Table(
    "eventbus_journal_events",
    metadata,
    sa.Column("n", _Number, primary_key=True, autoincrement=False),
    sa.Column("id", _Text, nullable=False),
    sa.Column("source", _Text, nullable=False),
    sa.Column("type", _Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("topic", _Text, nullable=False),
    sa.Column("correlation", _Text, nullable=False),
    sa.Column("cause", _Text),
    sa.Column("subject", _Text),
    sa.Column("time", sa.Double, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("place", sa.BigInteger, doc="where it lies in the log of a bus in this database, if it does"),
    sa.Column("body", sa.LargeBinary),
    comment="each event once",
)

sa.Index("ix_eventbus_journal_events_id", events.c.id, events.c.source, events.c.topic, unique=True)
sa.Index("ix_eventbus_journal_events_correlation", events.c.correlation)
sa.Index("ix_eventbus_journal_events_type", events.c.type, events.c.time)
sa.Index("ix_eventbus_journal_events_time", events.c.time)
_about = events.c.subject.is_not(None)
sa.Index("ix_eventbus_journal_events_subject", events.c.subject, sqlite_where=_about, postgresql_where=_about)

records = sa.Table(
    "eventbus_journal_records",
    metadata,
    sa.Column("n", _Number, primary_key=True, autoincrement=False),
    sa.Column("outcome", _Text, nullable=False),
    sa.Column("topic", _Text, nullable=False),
    sa.Column("channel", _Text, nullable=False),
    sa.Column("service", _Text, nullable=False),
    sa.Column("instance", _Text, nullable=False),
    sa.Column("id", _Text, nullable=False),
    sa.Column("source", _Text, nullable=False),
    sa.Column("type", _Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("correlation", _Text, nullable=False),
    sa.Column("cause", _Text),
    sa.Column("subject", _Text),
    sa.Column("published", sa.Double),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("begin", sa.Double, nullable=False),
    sa.Column("end", sa.Double, nullable=False),
    sa.Column("again", sa.Double),
    sa.Column("error", _Text),
    sa.Column("place", _Text),
    comment="what services told of deliveries and of rows of outboxes",
)

sa.Index("ix_eventbus_journal_records_correlation", records.c.correlation)

state = sa.Table(
    "eventbus_journal_state",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("batch", sa.BigInteger, nullable=False, doc="number of the newest one"),
    sa.Column("bytes", sa.BigInteger, nullable=False, doc="of all batches"),
    comment="one row: whoever writes holds it until the commit",
)

batches = sa.Table(
    "eventbus_journal_batches",
    metadata,
    sa.Column("number", _Number, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Double, nullable=False, doc="when it was written"),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    comment="what retention counts and removes",
)

positions = sa.Table(
    "eventbus_journal_positions",
    metadata,
    sa.Column("topic", _Text, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
    comment="how far the log of a bus in this database was read",
)
