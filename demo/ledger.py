"""Ledger: what came of the orders, counted in the services' own databases and in the mail sink."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from demo.mail_sink import MailSink
from eventbus.sql import Database
from services.fulfillment.tables import shipments
from services.orders.tables import orders


@dataclass(frozen=True, slots=True)
class Ledger:
    """What came of the orders; balanced when each has exactly one end and one mail of each kind that it should have.

    Attributes:
        orders: accepted by the API.
        shipped, rejected: orders by their end, as the orders service knows it.
        confirmed: orders whose confirmation was sent and noted.
        mails: mails that arrived: one confirmation for each order, one notice for each shipped one.
        lost: orders without an end, or that miss a shipment or a mail.
        doubled: shipments and mails beyond one.
        dead_letters: deliveries parked on the way; all were replayed at the end.
        retries: deliveries that failed and came again.
        seconds: from the first order to the last mail.
    """

    orders: int
    shipped: int
    rejected: int
    confirmed: int
    mails: int
    lost: int
    doubled: int
    dead_letters: int
    retries: int
    seconds: float

    @property
    def is_balanced(self) -> bool:
        return (
            not self.lost
            and not self.doubled
            and self.orders == self.shipped + self.rejected == self.confirmed
            and self.mails == self.orders + self.shipped
        )

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "balanced": self.is_balanced}


class Accounts:
    """Reads the books of the services."""

    def __init__(self, orders_database: Database, fulfillment_database: Database, sink: MailSink) -> None:
        self._orders = orders_database
        self._fulfillment = fulfillment_database
        self._sink = sink

    def done(self) -> int:
        """Return the number of orders that have an end and a noted confirmation, and of which all mails came."""
        is_over = (orders.c.status != "placed") & orders.c.confirmed_at.is_not(None)
        query = sa.select(
            sa.func.count(sa.case((is_over, 1))), sa.func.count(sa.case((orders.c.status == "shipped", 1)))
        ).select_from(orders)
        over, shipped = self._orders.read(lambda connection: connection.execute(query).one())
        missing = max(over + shipped - sum(self._sink.subjects.values()), 0)
        return max(int(over) - missing, 0)

    def close(self, *, dead_letters: int, retries: int, seconds: float) -> Ledger:
        """Return the ledger."""
        rows = self._orders.read(
            lambda c: list(c.execute(sa.select(orders.c.order_id, orders.c.status, orders.c.confirmed_at)))
        )
        shipped_ids = self._fulfillment.read(lambda c: list(c.scalars(sa.select(shipments.c.order_id))))
        sent, mails = Counter(shipped_ids), self._sink.subjects
        lost = sum(
            row.status == "placed"
            or row.confirmed_at is None
            or not mails[f"Your order {row.order_id}"]
            or (row.status == "shipped") != (sent[row.order_id] > 0)
            or (row.status == "shipped") != (mails[f"Your order {row.order_id} is on its way"] > 0)
            for row in rows
        )
        return Ledger(
            orders=len(rows),
            shipped=sum(row.status == "shipped" for row in rows),
            rejected=sum(row.status == "rejected" for row in rows),
            confirmed=sum(row.confirmed_at is not None for row in rows),
            mails=sum(mails.values()),
            lost=lost,
            doubled=sum(count - 1 for count in mails.values()) + sum(count - 1 for count in sent.values()),
            dead_letters=dead_letters,
            retries=retries,
            seconds=round(seconds, 3),
        )
