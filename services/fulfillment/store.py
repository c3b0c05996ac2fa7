"""Store of the fulfillment service: stock, and one decision for each order. In memory; lost with the process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from services.fulfillment.events import OrderLine


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for an order: a tracking number, or a reason against it."""

    tracking_number: str | None
    reason: str | None


class Warehouse:
    """Stock by SKU, and the decisions taken.

    A decision is taken once: the same order again, as after a redelivery, gets the same one and leaves the stock alone.
    """

    def __init__(self, stock: Mapping[str, int]) -> None:
        self.stock: Counter[str] = Counter(stock)
        self.decisions: dict[UUID, Decision] = {}
        self.shipments: list[UUID] = []

    def fulfil(self, order_id: UUID, lines: tuple[OrderLine, ...]) -> Decision:
        """Return the decision for an order; takes its articles out of the stock where all are there."""
        decided = self.decisions.get(order_id)
        if decided is not None:
            return decided
        wanted: Counter[str] = Counter()
        for line in lines:
            wanted[line.sku] += line.quantity
        missing = sorted(sku for sku, quantity in wanted.items() if self.stock[sku] < quantity)
        if missing:
            decision = Decision(None, f"out of stock: {', '.join(missing)}")
        else:
            self.stock.subtract(wanted)
            self.shipments.append(order_id)
            decision = Decision(f"TRK-{order_id.hex[-12:].upper()}", None)
        self.decisions[order_id] = decision
        return decision
