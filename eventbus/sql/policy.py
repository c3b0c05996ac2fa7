"""Policy: what an outbox was told, for those who do its work."""

from __future__ import annotations

from dataclasses import dataclass

from eventbus.sql.database import Database
from eventbus.sql.receipts import Receipts


@dataclass(frozen=True, slots=True)
class OutboxPolicy:
    """How the rows of one outbox are published and settled.

    Attributes:
        name: for people.
        receipts: how to wait for subscribers; None settles a row as soon as the broker confirmed it.
        poll: seconds between two looks for rows that other processes added.
        batch: most rows of one round.
        keep: seconds for which settled rows stay.
        expected: channels by topic that are waited for from the start.
    """

    name: str
    database: Database
    receipts: Receipts | None
    poll: float
    batch: int
    keep: float
    expected: dict[str, tuple[str, ...]]
