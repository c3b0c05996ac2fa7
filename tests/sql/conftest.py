from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from eventbus import Retry, Service
from eventbus.sql import Database, Inbox, Outbox, Receipts, SqlContext, metadata
from eventbus.testing import Harness
from tests.sql.events import Placed, Shipped, note, tables


class Shop:
    """Two services with a database each: `orders` with an outbox, `fulfillment` with inbox and outbox."""

    def __init__(self, new_database: Callable[..., Database]) -> None:
        self.orders, self.fulfillment = (new_database(metadata, tables) for _ in range(2))
        self.outbox = Outbox(self.orders, source="orders", receipts=Receipts(timeout=30.0, ceiling=600.0))
        self.shipments = Outbox(self.fulfillment, source="fulfillment", receipts=None)
        self.inbox = Inbox(self.fulfillment, outbox=self.shipments)
        self.service = Service("fulfillment")
        self.service.on(Placed, inbox=self.inbox, retry=Retry(attempts=4, first=1.0))(self.ship)
        self.harness = Harness()

    def ship(self, event: Placed, context: SqlContext) -> Shipped:
        note(context.connection, event.number)
        return Shipped(number=event.number)

    def start(self) -> None:
        """Start both services, and let them get to know each other."""
        self.harness.start(self.service)
        self.harness.bus.attach(self.outbox)
        self.harness.advance(1.0)

    def place(self, *numbers: int, **options: object) -> None:
        """Place orders in one transaction."""
        self.outbox.database.transact(
            lambda connection: [
                self.outbox.add(connection, Placed(number=number), **options)  # type: ignore[arg-type]
                for number in numbers
            ]
        )

    def unsettled(self) -> int:
        return self.outbox.backlog().unsettled

    def shipped(self) -> list[int]:
        return sorted(event.number for event in self.harness.published(Shipped))


@pytest.fixture
def shop(new_database: Callable[..., Database]) -> Iterator[Shop]:
    made = Shop(new_database)
    yield made
    made.harness.close()
