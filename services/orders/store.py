"""Store of the orders service: every order and how far it is. In memory; lost with the process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from services.orders.events import OrderPlaced

Status = Literal["placed", "shipped", "rejected"]


@dataclass(slots=True)
class Order:
    """One order: what was placed, and what became of it."""

    placed: OrderPlaced
    status: Status = "placed"
    tracking_number: str | None = None
    reason: str | None = None
    is_confirmed: bool = False


class OrderStore:
    """Orders by id."""

    def __init__(self) -> None:
        self._orders: dict[UUID, Order] = {}

    def add(self, placed: OrderPlaced) -> Order:
        """Keep a new order; the same one again changes nothing."""
        return self._orders.setdefault(placed.order_id, Order(placed))

    def get(self, order_id: UUID) -> Order | None:
        return self._orders.get(order_id)

    def all(self) -> list[Order]:
        return list(self._orders.values())
