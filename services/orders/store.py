"""Store of the orders service: orders in its own database, each announced in the transaction that accepts it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.sql import Database, Outbox
from eventbus.sql.statements import insert_once, skip_locked
from services.orders.events import OrderLine, OrderPlaced
from services.orders.models import OrderIn, OrderOut, Status
from services.orders.tables import idempotency_keys, orders

_KEEP_KEYS = 24 * 3600.0
"""Seconds for which an idempotency key is remembered."""
_CLEAN_AT_ONCE = 1000
_PAGE_BYTES = 64 * 1024
_READ_FIRST = 5
_READ_AT_ONCE = 100


class KeyReusedError(Exception):
    """Raised when an idempotency key comes with another request than the first time."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A placed order as the client is told of it, and whether this request placed it."""

    answer: dict[str, Any]
    is_new: bool


class OrderStore:
    """Orders and what became of them."""

    def __init__(self, database: Database, outbox: Outbox, time: Callable[[], float]) -> None:
        self.database = database
        self.time = time
        self._outbox = outbox

    # -- for the API ------------------------------------------------------------------------------------------------

    def place(self, request: OrderIn, key: str | None, digest: str, *, client: str = "") -> Accepted:
        """Accept an order: order, announcement and idempotency key in one transaction. Each client has keys of its own.

        Raises:
            KeyReusedError: the key was used for another request.
        """

        def work(connection: Connection) -> Accepted:
            order_id, now = uuid4(), self.time()
            row = self._row(order_id, now, request)
            answer = _out(row).model_dump(mode="json")
            if key is not None:
                known = _remember(connection, _scoped(key, client), digest, answer, now)
                if known is not None:
                    return Accepted(known, is_new=False)
            connection.execute(sa.insert(orders).values(row))
            self._outbox.add(connection, _event(row, request), subject=str(order_id))
            return Accepted(answer, is_new=True)

        return self.database.transact(work)

    @staticmethod
    def _row(order_id: UUID, now: float, request: OrderIn) -> dict[str, Any]:
        return {
            "order_id": order_id,
            "status": "placed",
            "customer_id": request.customer_id,
            "email": request.email,
            "currency": request.currency,
            "total": f"{request.total:.2f}",
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
        """Return orders, the newest first, and where the next page begins; a page is bounded by number and by bytes."""
        page: list[dict[str, Any]] = []
        size, asked = 0, min(_READ_FIRST, limit + 1)
        while True:
            rows = self._read(status, asked, before)
            page += rows
            if len(page) > limit or len(rows) < asked:
                return [_out(row) for row in page[:limit]], page[limit - 1]["number"] if len(page) > limit else None
            size += sum(len(json.dumps(row["lines"])) + 4 * len(row["note"] or "") + 600 for row in rows)
            if size >= _PAGE_BYTES:
                return [_out(row) for row in page], page[-1]["number"]
            fitting = (_PAGE_BYTES - size) * len(page) // size + 1  # as long as those before them
            asked = min(fitting, _READ_AT_ONCE, limit + 1 - len(page))
            before = rows[-1]["number"]

    def _read(self, status: Status | None, most: int, before: int | None) -> list[dict[str, Any]]:
        query = sa.select(orders).order_by(orders.c.number.desc()).limit(most)
        if status is not None:
            query = query.where(orders.c.status == status)
        if before is not None:
            query = query.where(orders.c.number < before)
        return self.database.read(lambda connection: [dict(row) for row in connection.execute(query).mappings()])

    def counts(self) -> dict[str, int]:
        """Return how many orders there are by status."""
        query = sa.select(orders.c.status, sa.func.count()).group_by(orders.c.status)
        return dict(self.database.read(lambda connection: [(row[0], row[1]) for row in connection.execute(query)]))

    def check(self) -> None:
        """Raise when no order could be taken: the database is away, has no tables, or takes no writes."""
        nothing = sa.update(orders).where(sa.false()).values(status="placed")
        self.database.transact(lambda connection: connection.execute(nothing))

    def clean(self) -> float | None:
        """Forget keys that are too old, some at a time; return 0 while there are more, as `Rounds` has it."""
        old = sa.select(idempotency_keys.c.key).where(idempotency_keys.c.created_at < self.time() - _KEEP_KEYS)
        some = skip_locked(old.order_by(idempotency_keys.c.created_at).limit(_CLEAN_AT_ONCE))
        gone = sa.delete(idempotency_keys).where(idempotency_keys.c.key.in_(some.scalar_subquery()))
        count = self.database.transact(lambda connection: connection.execute(gone).rowcount)
        return 0.0 if count == _CLEAN_AT_ONCE else None

    # -- for the handlers, in their transactions ----------------------------------------------------------------------

    @staticmethod
    def note(connection: Connection, order_id: UUID, **values: Any) -> bool:
        """Change an order; return whether it is there."""
        change = sa.update(orders).where(orders.c.order_id == order_id).values(**values)
        return connection.execute(change).rowcount == 1


def _scoped(key: str, client: str) -> str:
    return hashlib.sha256(f"{client} {key}".encode()).hexdigest() if client else key


def _remember(connection: Connection, key: str, digest: str, answer: dict[str, Any], now: float) -> dict[str, Any] | None:
    """Take an idempotency key for this request; return the answer that was given to it before, if any."""
    taken = {"digest": digest, "answer": answer, "created_at": now}
    for _ in range(2):
        if insert_once(connection, idempotency_keys, [{"key": key, **taken}]):
            return None
        row = connection.execute(
            sa.select(idempotency_keys).where(idempotency_keys.c.key == key).with_for_update()
        ).one_or_none()
        if row is None:  # cleaned away in between
            continue
        if row.created_at < now - _KEEP_KEYS:
            connection.execute(sa.update(idempotency_keys).where(idempotency_keys.c.key == key).values(**taken))
            return None
        if row.digest != digest:
            raise KeyReusedError(key)
        known: dict[str, Any] = row.answer
        return known
    raise KeyReusedError(key)


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
