"""Another domain, written from the guide alone: subscriptions are billed, with the sessions of SQLAlchemy's ORM.

The bug: an invoice is written by a session of the handler's own, beside the one in the inbox's transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from eventbus import Event, Service
from eventbus.sql import Database, Inbox, Outbox, SqlContext
from eventbus.testing import SimulationFailedError, fresh_database, simulate
from eventbus.testing.simulation.checks import all_settled, nothing_lost, nothing_parked


class SubscriptionRenewed(Event, topic="subscriptions_renewed", version=1):
    subscription: str
    month: str


class SubscriptionEnded(Event, topic="subscriptions_ended", version=1):
    subscription: str


class InvoiceIssued(Event, topic="invoices_issued", version=1):
    subscription: str
    month: str


class Base(DeclarativeBase):
    pass


class Invoice(Base):
    __tablename__ = "invoices"
    id: Mapped[int] = mapped_column(primary_key=True)
    subscription: Mapped[str]
    month: Mapped[str]


class Ended(Base):
    __tablename__ = "ended"
    subscription: Mapped[str] = mapped_column(primary_key=True)


class Billing:
    """What both ways of writing the service have."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.services: list[Service] = []

    def bills_once(self) -> None:
        with Session(self.database.engine) as session:
            query = select(Invoice.month, func.count()).group_by(Invoice.subscription, Invoice.month)
            for month, count in session.execute(query):
                assert count == 1, f"{count} invoices for {month}"


class Hasty(Billing):
    """The bug: a session of the handler's own, whose commit knows nothing of the delivery."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        service = Service("billing")
        service.on(SubscriptionRenewed)(self.bill)
        self.services.append(service)

    def bill(self, event: SubscriptionRenewed) -> InvoiceIssued:
        def write(connection: Connection) -> None:
            with Session(connection) as session:
                session.add(Invoice(subscription=event.subscription, month=event.month))
                session.flush()

        self.database.transact(write)
        return InvoiceIssued(subscription=event.subscription, month=event.month)


class Careful(Billing):
    """Mended: the session of the inbox's transaction, and the event through its outbox."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        inbox = Inbox(database, outbox=Outbox(database, source="billing", receipts=None))
        service = Service("billing")
        service.on(SubscriptionRenewed, inbox=inbox)(self.bill)
        service.on(SubscriptionEnded, inbox=inbox)(self.end)
        self.services.append(service)

    def bill(self, event: SubscriptionRenewed, context: SqlContext) -> InvoiceIssued | None:
        if context.session.get(Ended, event.subscription) is not None:
            return None
        context.session.add(Invoice(subscription=event.subscription, month=event.month))
        return InvoiceIssued(subscription=event.subscription, month=event.month)

    def end(self, event: SubscriptionEnded, context: SqlContext) -> None:
        context.session.add(Ended(subscription=event.subscription))


EVENTS = [
    SubscriptionRenewed(subscription="S1", month="2026-11"),
    SubscriptionRenewed(subscription="S1", month="2026-12"),
    SubscriptionEnded(subscription="S1"),
]


@contextmanager
def hasty() -> Iterator[Billing]:
    with fresh_database(Base.metadata) as database:
        yield Hasty(database)


@contextmanager
def careful() -> Iterator[Billing]:
    with fresh_database(Base.metadata) as database:
        yield Careful(database)


def test_the_bug_is_found_and_the_story_tells_it() -> None:
    with pytest.raises(SimulationFailedError) as failed:
        simulate(hasty, EVENTS, check=lambda billing: billing.bills_once(), faults=3)
    story = str(failed.value)
    assert story.startswith("billing.bills_once: 2 invoices for 2026-1")
    assert "1 row in invoices" in story
    assert "<- fault" in story
    assert len(story.splitlines()) <= 10


def test_the_mended_service_passes_all() -> None:
    checks = [Billing.bills_once, nothing_lost, nothing_parked, all_settled]
    tried = simulate(careful, EVENTS[1:], checks, faults=1, seconds=120)
    assert tried.is_complete
    assert tried.schedules[1] >= 12
