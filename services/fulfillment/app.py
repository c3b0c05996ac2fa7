"""Wiring of the fulfillment service: the one place where its parts meet."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.exc import DataError

from eventbus import Backoff, Retry, Service
from eventbus.attachments import BusTime, OnStart
from eventbus.serving import HealthApp, WebServer
from eventbus.sql import Database, Inbox, Outbox, Receipts
from eventbus.sql import metadata as bus_tables
from services.fulfillment.events import OrderPlaced
from services.fulfillment.handlers import Fulfillment
from services.fulfillment.settings import FulfillmentSettings
from services.fulfillment.tables import metadata
from services.fulfillment.warehouse import Warehouse

NAME = "fulfillment"
UNSTORABLE = (DataError, OverflowError)
"""What a database says of a value that it cannot hold: it will not hold it at the next attempt either."""


@dataclass(frozen=True, slots=True)
class FulfillmentApp:
    """The parts of the service, put together."""

    service: Service
    warehouse: Warehouse


def build(
    settings: FulfillmentSettings | None = None,
    *,
    retry: Retry | None = None,
    backoff: Backoff | None = None,
    instance: str | None = None,
) -> FulfillmentApp:
    """Return a worker of the service with its database; more workers of a process by `service.replica()`."""
    settings = settings or FulfillmentSettings()
    database = Database(
        settings.database(),
        pool_size=settings.concurrency + 4,
        synchronous=settings.sqlite_synchronous,
    )
    time = BusTime()
    warehouse = Warehouse(database, time)

    def prepare() -> None:
        database.create_tables(bus_tables, metadata)
        warehouse.fill(settings.stock)

    outbox = Outbox(database, source=NAME, receipts=Receipts(timeout=settings.receipt_timeout))
    inbox = Inbox(database, outbox=outbox)
    service = Service(NAME, backoff=backoff, instance=instance)
    service.attach(time, OnStart(prepare))
    retry = retry or Retry(reject=UNSTORABLE)
    service.on(OrderPlaced, inbox=inbox, retry=retry, concurrency=settings.concurrency, dry_run=True)(
        Fulfillment(warehouse).ship
    )
    if settings.port is not None:
        service.attach(WebServer(HealthApp({"database": warehouse.check}), host=settings.host, port=settings.port))
    return FulfillmentApp(service, warehouse)
