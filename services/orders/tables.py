"""Tables of the orders service."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

orders = sa.Table(
    "orders",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("order_id", sa.Uuid, nullable=False, unique=True),
    sa.Column("status", sa.String(16), nullable=False, index=True),
    sa.Column("customer_id", sa.String(64), nullable=False),
    sa.Column("email", sa.String(254), nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
    sa.Column("total", sa.String(16), nullable=False, doc="a decimal as text: SQLite has no decimals"),
    sa.Column("note", sa.Text),
    sa.Column("lines", sa.JSON, nullable=False),
    sa.Column("placed_at", sa.Double, nullable=False, doc="seconds since 1970"),
    sa.Column("tracking_number", sa.String(64)),
    sa.Column("reason", sa.Text),
    sa.Column("confirmed_at", sa.Double),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False, doc="SHA-256 of the request, to tell another one from the same"),
    sa.Column("answer", sa.JSON, nullable=False),
    sa.Column("created_at", sa.Double, nullable=False, index=True),
)
