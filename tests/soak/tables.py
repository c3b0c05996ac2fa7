"""Tables of the soak's services, and what is known of an order by its key."""

from __future__ import annotations

import sqlalchemy as sa

SERVICES = ("orders", "fulfillment", "billing")

tables = sa.MetaData()
accepted = sa.Table("accepted", tables, sa.Column("key", sa.String(64), primary_key=True))
effects = sa.Table(
    "effects",
    tables,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(64), nullable=False),
    sa.Column("who", sa.String(32), nullable=False),
    sa.Column("content", sa.String(64), nullable=False),
)


def content_of(key: str) -> str:
    return f"content of {key}"[:64]


def is_poison(key: str) -> bool:
    """Whether fulfillment refuses it until it is mended."""
    return key.startswith("00")
