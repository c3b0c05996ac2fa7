"""Tables of the fulfillment service."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

stock = sa.Table(
    "stock",
    metadata,
    sa.Column("sku", sa.String(64), primary_key=True),
    sa.Column("quantity", sa.BigInteger, nullable=False),
    # the last line of defence: whatever a program does, the database never sells what is not there
    sa.CheckConstraint("quantity >= 0", name="ck_stock_never_oversold"),
)

reservations = sa.Table(
    "reservations",
    metadata,
    sa.Column("order_id", sa.Uuid, primary_key=True),
    sa.Column("sku", sa.String(64), primary_key=True),
    sa.Column("quantity", sa.BigInteger, nullable=False),
)

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("order_id", sa.Uuid, primary_key=True, doc="taken first: who decides on an order at the same time waits here"),
)

shipments = sa.Table(
    "shipments",
    metadata,
    sa.Column("order_id", sa.Uuid, primary_key=True, doc="an order ships once, also if two events announce it"),
    sa.Column("tracking_number", sa.String(64), nullable=False, unique=True),
    sa.Column("shipped_at", sa.Double, nullable=False, doc="seconds since 1970"),
    sa.Column("shipped_by", sa.String(64), nullable=False, doc="the worker"),
)

rejections = sa.Table(
    "rejections",
    metadata,
    sa.Column("order_id", sa.Uuid, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("rejected_at", sa.Double, nullable=False),
)
