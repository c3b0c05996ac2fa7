"""Tables of outbox and inbox, by what writes them.

Instants are seconds since 1970 as floats, by the bus's clock: the same on both databases and in virtual time.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()

_Serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")

outbox = sa.Table(
    "eventbus_outbox",
    metadata,
    sa.Column("id", _Serial, primary_key=True, autoincrement=True),
    sa.Column("event_id", sa.String(64), nullable=False, unique=True),
    sa.Column("topic", sa.String(64), nullable=False),
    sa.Column("type", sa.String(1024), nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("due_at", sa.Double, nullable=False, doc="0 for at once, so that what is not delayed keeps its order"),
    sa.Column("expires_at", sa.Double),
    sa.Column("wants_receipts", sa.Boolean, nullable=False),
    sa.Column("leased_until", sa.Double, nullable=False, default=0.0, doc="until then one relay alone may publish it"),
    sa.Column("published_at", sa.Double, doc="first confirmation by the broker"),
    sa.Column("attempts", sa.Integer, nullable=False, default=0, doc="publications, the first included"),
    sa.Column("next_at", sa.Double, doc="when receipts that are missing make it go out again"),
    sa.Column("settled_at", sa.Double, doc="nothing more to do; removed after a while"),
    sa.Column("error", sa.Text, doc="why the broker refused it, if it did"),
    sa.Column("refusals", sa.Integer, nullable=False, default=0, server_default="0", doc="how often it did"),
)

WAS_TAKEN = 1.0
"""A `leased_until` long over: a relay had the row and could not send it. 0 says that none has had it."""


def _index(name: str, *columns: sa.ColumnElement[Any], where: sa.ColumnElement[bool]) -> sa.Index:
    """A partial index: the rows that are looked for are few among many that are done."""
    return sa.Index(name, *columns, sqlite_where=where, postgresql_where=where)


_index("ix_eventbus_outbox_due", outbox.c.due_at, outbox.c.id, where=outbox.c.published_at.is_(None))
_index(
    "ix_eventbus_outbox_open",
    outbox.c.topic,
    outbox.c.id,
    where=outbox.c.settled_at.is_(None) & outbox.c.published_at.is_not(None),
)
_index("ix_eventbus_outbox_settled", outbox.c.settled_at, where=outbox.c.settled_at.is_not(None))

receipts = sa.Table(
    "eventbus_receipts",
    metadata,
    sa.Column("event_id", sa.String(64), primary_key=True),
    sa.Column("channel", sa.String(64), primary_key=True),
    comment="at the origin: which channel has said that it is done with an event of the outbox",
)

subscribers = sa.Table(
    "eventbus_subscribers",
    metadata,
    sa.Column("topic", sa.String(64), primary_key=True),
    sa.Column("type", sa.String(1024), primary_key=True),
    sa.Column("channel", sa.String(64), primary_key=True),
    sa.Column("since", sa.Double, nullable=False, doc="when the channel was bound, by its service's clock"),
    sa.Column("seen_at", sa.Double, nullable=False),
    comment="at the origin: which channels keep an inbox, as they told",
)

inbox = sa.Table(
    "eventbus_inbox",
    metadata,
    sa.Column("channel", sa.String(64), primary_key=True),
    sa.Column("topic", sa.String(64), primary_key=True, default="", server_default=""),
    sa.Column("source", sa.String(255), primary_key=True, default="", server_default="", doc="hashed where it is longer"),
    sa.Column("event_id", sa.String(255), primary_key=True, doc="hashed where it is longer"),
    sa.Column("claimed_at", sa.Double, nullable=False),
    sa.Column("digest", sa.LargeBinary(16), doc="of the event's data"),
    comment="events that had their effect here",
)

sa.Index("ix_eventbus_inbox_claimed_at", inbox.c.claimed_at)  # by name: in another schema it is called the same

receipts_due = sa.Table(
    "eventbus_receipts_due",
    metadata,
    sa.Column("id", _Serial, primary_key=True, autoincrement=True),
    sa.Column("reply_topic", sa.String(64), nullable=False),
    sa.Column("topic", sa.String(64), nullable=False),
    sa.Column("channel", sa.String(64), nullable=False),
    sa.Column("event_id", sa.Text, nullable=False),
    comment="receipts that wait to be sent",
)

bindings = sa.Table(
    "eventbus_bindings",
    metadata,
    sa.Column("topic", sa.String(64), primary_key=True),
    sa.Column("type", sa.String(1024), primary_key=True),
    sa.Column("channel", sa.String(64), primary_key=True),
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False, default=0.0, server_default="0"),
    comment="what this service's inbox is bound to, since when, and when a replica last said so",
)

dead_letters = sa.Table(
    "eventbus_dead_letters",
    metadata,
    sa.Column("id", _Serial, primary_key=True, autoincrement=True),
    sa.Column("channel", sa.String(64), nullable=False),
    sa.Column("topic", sa.String(64), nullable=False),
    sa.Column("source", sa.String(255), nullable=False),
    sa.Column("event_id", sa.String(255), nullable=False),
    sa.Column("letter_id", sa.Text, nullable=False, doc="the event's id as it is in the letter"),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("parked_at", sa.Double, nullable=False),
    sa.Column("sent_at", sa.Double, doc="when the broker confirmed it; empty while it is to be sent"),
    sa.Column("replayed_at", sa.Double, doc="when it was sent to its channel again, and is not known to be handled"),
    sa.UniqueConstraint("channel", "topic", "source", "event_id", name="uq_eventbus_dead_letters"),
    comment="dead letters of handlers with an inbox, until they were handled or discarded",
)

schema = sa.Table(
    "eventbus_schema",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    comment="which version these tables have",
)

VERSION = 2
"""Version of these tables; `schema.py` brings older ones up to it."""
