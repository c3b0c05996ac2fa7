"""Warehouse of the fulfillment service: stock, reservations and shipments in its own database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from eventbus.runtime.clock import SystemClock
from eventbus.sql import Database
from services.fulfillment.events import OrderLine
from services.fulfillment.tables import decisions, rejections, reservations, shipments, stock


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for an order: a tracking number, or a reason against it."""

    tracking_number: str | None
    reason: str | None


class _ShortError(Exception):
    """Takes back the reservations of an order of which an article is missing."""


class Warehouse:
    """Stock by SKU, and one decision for each order."""

    def __init__(self, database: Database, time: Callable[[], float] = SystemClock.time) -> None:
        self.database = database
        self._time = time

    def fill(self, quantities: Mapping[str, int]) -> None:
        """Put articles into an empty warehouse; one that has any stock is left alone."""
        rows = [{"sku": sku, "quantity": quantity} for sku, quantity in quantities.items()]

        def work(connection: Connection) -> None:
            if not self.database.is_sqlite:  # replicas that start together must not fill it twice
                connection.execute(sa.text("LOCK TABLE stock IN EXCLUSIVE MODE"))
            if rows and connection.scalar(sa.select(sa.func.count()).select_from(stock)) == 0:
                connection.execute(sa.insert(stock), rows)

        self.database.transact(work)

    def fulfil(
        self, connection: Connection, order_id: UUID, lines: Sequence[OrderLine], *, by: str = "fulfillment"
    ) -> Decision:
        """Return the decision for an order, in the caller's transaction; takes its articles out of the stock if all are in.

        A decision is taken once; the same order again gets the same one and leaves the stock alone.
        """
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(decisions).values(order_id=order_id))
        except IntegrityError:
            return self._decided(connection, order_id)
        wanted: Counter[str] = Counter()
        if any(line.quantity < 1 for line in lines):
            raise ValueError("a quantity below 1 takes nothing out of the stock")
        for line in lines:
            wanted[line.sku] += line.quantity
        now = self._time()
        try:
            with connection.begin_nested():
                self._reserve(connection, order_id, wanted)
        except _ShortError as error:
            reason = str(error)
            connection.execute(sa.insert(rejections).values(order_id=order_id, reason=reason, rejected_at=now))
            return Decision(None, reason)
        tracking_number = f"TRK-{order_id.hex[-12:].upper()}"
        row = {"order_id": order_id, "tracking_number": tracking_number, "shipped_at": now, "shipped_by": by[-64:]}
        connection.execute(sa.insert(shipments).values(row))
        return Decision(tracking_number, None)

    @staticmethod
    def _decided(connection: Connection, order_id: UUID) -> Decision:
        query = sa.select(shipments.c.tracking_number).where(shipments.c.order_id == order_id)
        tracking_number = connection.scalar(query)
        if tracking_number is not None:
            return Decision(tracking_number, None)
        return Decision(None, connection.scalar(sa.select(rejections.c.reason).where(rejections.c.order_id == order_id)))

    @staticmethod
    def _reserve(connection: Connection, order_id: UUID, wanted: Mapping[str, int]) -> None:
        # in the order of the SKUs, so that two orders never wait for each other
        for sku, quantity in sorted(wanted.items()):
            take = sa.update(stock).where(stock.c.sku == sku, stock.c.quantity >= quantity)
            if connection.execute(take.values(quantity=stock.c.quantity - quantity)).rowcount != 1:
                known = connection.scalar(sa.select(stock.c.sku).where(stock.c.sku == sku))
                raise _ShortError(f"out of stock: {sku}" if known else f"unknown article: {sku}")
        rows = [{"order_id": order_id, "sku": sku, "quantity": quantity} for sku, quantity in wanted.items()]
        connection.execute(sa.insert(reservations), rows)

    def check(self) -> None:
        """Raise when nothing could be shipped: the database is away, has no tables, or takes no writes."""
        nothing = sa.delete(decisions).where(sa.false())
        self.database.transact(lambda connection: connection.execute(nothing))
