"""Ledger: what was accepted, beside the effects of each subscriber; read from files and databases, never from metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from eventbus.sql import Database
from eventbus.sql.tables import dead_letters
from tests.soak.tables import accepted, content_of, effects


@dataclass(frozen=True, slots=True)
class Ledger:
    """What came of the orders.

    Attributes:
        orders: committed, as their database says; `acknowledged` those whose service was told so.
        unsure: tried, and neither told nor there.
        effects: rows of all subscribers.
        lost: effects that are missing; examples in `which`.
        doubled, phantom, altered: effects beyond one, without an order, with other content.
        forgotten: acknowledged orders that the database does not have.
        undone_seen: orders that were rolled back, and are somewhere all the same.
        letters_lost: refused events of which there was no dead letter, neither in the database nor by the tools.
        letters: dead letters before they were replayed.
    """

    orders: int
    acknowledged: int
    unsure: int
    effects: int
    lost: int
    doubled: int
    phantom: int
    altered: int
    forgotten: int
    undone_seen: int
    letters_lost: int
    letters: int
    which: list[str] = field(default_factory=list)

    @property
    def is_balanced(self) -> bool:
        return not (
            self.lost
            or self.doubled
            or self.phantom
            or self.altered
            or self.forgotten
            or self.undone_seen
            or self.letters_lost
        )

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "balanced": self.is_balanced}


@dataclass(frozen=True, slots=True)
class Books:
    """Where it is written.

    Attributes:
        orders, fulfillment, billing: the services' databases.
        folder: of the files in which orders' processes write what they were told.
    """

    orders: Database
    fulfillment: Database
    billing: Database
    folder: Path

    def told(self) -> tuple[set[str], set[str], set[str]]:
        """Return the keys of orders that were tried, acknowledged and taken back."""
        words: dict[str, set[str]] = {"try": set(), "done": set(), "undo": set()}
        for path in self.folder.glob("orders-*.ledger"):
            for line in path.read_text().splitlines():
                kind, _, key = line.partition(" ")
                if kind in words and len(key) == 32:  # the last line of a killed process may be cut
                    words[kind].add(key)
        return words["try"], words["done"], words["undo"]

    def placed(self) -> set[str]:
        """Return the keys of orders that were committed."""
        return set(self.orders.read(lambda connection: list(connection.scalars(sa.select(accepted.c.key)))))

    def effects(self) -> int:
        """Return how many effects of billing there are."""
        count = sa.select(sa.func.count()).select_from(effects)
        return int(self.billing.read(lambda connection: connection.scalar(count)) or 0)

    def letters(self) -> int:
        """Return how many dead letters lie in the subscribers' databases."""
        count = sa.select(sa.func.count()).select_from(dead_letters)
        both = (self.fulfillment, self.billing)
        return sum(each.read(lambda connection: int(connection.scalar(count) or 0)) for each in both)

    def close(self, *, letters: int, letters_lost: int) -> Ledger:
        """Return the ledger as it is now."""
        orders = self.placed()
        tried, acknowledged, undone = self.told()
        seen: Counter[tuple[str, str]] = Counter()
        altered = 0
        for database in (self.fulfillment, self.billing):
            for key, who, content in database.read(
                lambda connection: list(connection.execute(sa.select(effects.c.key, effects.c.who, effects.c.content)))
            ):
                seen[key, who] += 1
                altered += content != content_of(key)
        lost = [f"{who} of {key}" for key in sorted(orders) for who in ("ship", "order", "bill") if not seen[key, who]]
        doubled = [f"{who} of {key}: {count}" for (key, who), count in seen.items() if count > 1]
        phantom = [f"{who} of {key}" for key, who in seen if key not in orders]
        return Ledger(
            orders=len(orders),
            acknowledged=len(acknowledged),
            unsure=len(tried - acknowledged - orders),
            effects=seen.total(),
            lost=len(lost),
            doubled=sum(count - 1 for count in seen.values() if count > 1),
            phantom=len(phantom),
            altered=altered,
            forgotten=len(acknowledged - orders),
            undone_seen=len(undone & (orders | {key for key, _ in seen})),
            letters_lost=letters_lost,
            letters=letters,
            which=[*lost[:5], *doubled[:5], *phantom[:5]],
        )
