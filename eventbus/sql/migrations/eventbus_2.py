"""Tables of outbox and inbox in version 2, made anew or from version 1. A revision of Alembic's, in a branch of its own."""

from __future__ import annotations

from alembic import op

from eventbus.sql import schema

revision = "eventbus_2"
down_revision = None
branch_labels = ("eventbus",)
depends_on = None


def upgrade() -> None:
    """Bring the tables to the version of the library that is installed."""
    schema.upgrade(op.get_bind())


def downgrade() -> None:
    """Refuse: older versions hold less, and what they cannot hold would be lost."""
    raise schema.no_way_back()
