"""Tables of the email confirmation service."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

mails = sa.Table(
    "mails",
    metadata,
    sa.Column("event_id", sa.String(64), primary_key=True, doc="of the job; the mail's Message-ID is made from it"),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("order_id", sa.Uuid, nullable=False, index=True),
    sa.Column("sent_at", sa.Double, nullable=False, doc="seconds since 1970"),
    sa.Column("sent_by", sa.String(64), nullable=False, doc="the worker; of a long name its end"),
)

claims = sa.Table(
    "mail_claims",
    metadata,
    sa.Column("event_id", sa.String(64), primary_key=True),
    sa.Column("until", sa.Double, nullable=False, doc="until then one worker alone may send it"),
    sa.Column("times", sa.Integer, nullable=False, doc="sendings of which nobody knows whether they went out"),
    comment="mails that are being sent, or were, without a word about how it ended",
)
