"""Store of the orders service: orders in its own database, each announced in the transaction that accepts it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from eventbus.sql import Database, Outbox
from services.orders.events import OrderLine, OrderPlaced
from services.orders.models import OrderIn, OrderOut, Status
from services.orders.tables import idempotency_keys, orders

_KEEP_KEYS = 24 * 3600.0
"""Seconds for which an idempotency key is remembered."""


class KeyReusedError(Exception):
    """Raised when an idempotency key comes with another request than the first time."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A placed order as the client is told of it, and whether this request placed it."""

    answer: dict[str, Any]
    is_new: bool


class OrderStore:
    """Orders and what became of them."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self.database = database
        self._outbox = outbox

    # -- for the API ------------------------------------------------------------------------------------------------

    def place(self, request: OrderIn, key: str | None, digest: str) -> Accepted:
        """Accept an order: order, announcement and idempotency key in one transaction.

        Raises:
            KeyReusedError: the key was used for another request.
        """

        def work(connection: Connection) -> Accepted:
            order_id, now = uuid4(), time.time()
            row = self._row(order_id, now, request)
            answer = _out(row).model_dump(mode="json")
            if key is not None:
                known = _remember(connection, key, digest, answer, now)
                if known is not None:
                    return Accepted(known, is_new=False)
            connection.execute(sa.insert(orders).values(row))
            self._outbox.add(connection, _event(row, request), subject=str(order_id))
            return Accepted(answer, is_new=True)

        return self.database.transact(work)

    @staticmethod
    def _row(order_id: UUID, now: float, request: OrderIn) -> dict[str, Any]:
        total = sum((line.price * line.quantity for line in request.lines), Decimal("0.00"))
        return {
            "order_id": order_id,
            "status": "placed",
            "customer_id": request.customer_id,
            "email": request.email,
            "currency": request.currency,
            "total": f"{total:.2f}",
            "note": request.note,
            "lines": [{"sku": line.sku, "quantity": line.quantity, "price": f"{line.price:.2f}"} for line in request.lines],
            "placed_at": now,
            "tracking_number": None,
            "reason": None,
            "confirmed_at": None,
        }

    def get(self, order_id: UUID) -> OrderOut | None:
        """Return an order, or None."""
        query = sa.select(orders).where(orders.c.order_id == order_id)
        row = self.database.read(lambda connection: connection.execute(query).mappings().one_or_none())
        return None if row is None else _out(dict(row))

    def find(self, status: Status | None, limit: int, before: int | None) -> tuple[list[OrderOut], int | None]:
        """Return orders, the newest first, and where the next page begins."""
        query = sa.select(orders).order_by(orders.c.number.desc()).limit(limit + 1)
        if status is not None:
            query = query.where(orders.c.status == status)
        if before is not None:
            query = query.where(orders.c.number < before)
        rows = self.database.read(lambda connection: list(connection.execute(query).mappings()))
        page = rows[:limit]
        return [_out(dict(row)) for row in page], page[-1]["number"] if len(rows) > limit else None

    def counts(self) -> dict[str, int]:
        """Return how many orders there are by status."""
        query = sa.select(orders.c.status, sa.func.count()).group_by(orders.c.status)
        return dict(self.database.read(lambda connection: [(row[0], row[1]) for row in connection.execute(query)]))

    def check(self) -> None:
        """Raise when the database does not answer."""
        self.database.read(lambda connection: connection.execute(sa.select(1)))

    # -- for the handlers, in their transactions ----------------------------------------------------------------------

    @staticmethod
    def note(connection: Connection, order_id: UUID, **values: Any) -> bool:
        """Change an order; return whether it is there."""
        change = sa.update(orders).where(orders.c.order_id == order_id).values(**values)
        return connection.execute(change).rowcount == 1


def _remember(connection: Connection, key: str, digest: str, answer: dict[str, Any], now: float) -> dict[str, Any] | None:
    """Take an idempotency key for this request; return the answer that was given to it before, if any."""
    connection.execute(sa.delete(idempotency_keys).where(idempotency_keys.c.created_at < now - _KEEP_KEYS))
    try:
        with connection.begin_nested():
            connection.execute(sa.insert(idempotency_keys).values(key=key, digest=digest, answer=answer, created_at=now))
    except IntegrityError:
        row = connection.execute(sa.select(idempotency_keys).where(idempotency_keys.c.key == key)).one()
        if row.digest != digest:
            raise KeyReusedError(key) from None
        known: dict[str, Any] = row.answer
        return known
    return None


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _out(row: dict[str, Any]) -> OrderOut:
    values = {name: row[name] for name in OrderOut.model_fields if name not in ("placed_at", "confirmed_at")}
    return OrderOut(**values, placed_at=_instant(row["placed_at"]), confirmed_at=_instant(row["confirmed_at"]))


def _event(row: dict[str, Any], request: OrderIn) -> OrderPlaced:
    return OrderPlaced(
        order_id=row["order_id"],
        customer_id=request.customer_id,
        email=request.email,
        currency=request.currency,
        placed_at=datetime.fromtimestamp(row["placed_at"], UTC),
        total=Decimal(row["total"]),
        note=request.note,
        lines=tuple(OrderLine(sku=line.sku, quantity=line.quantity, price=line.price) for line in request.lines),
    )
