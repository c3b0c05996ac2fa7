"""Wiring of the orders service: the one place where its parts meet."""

from __future__ import annotations

from dataclasses import dataclass

from flask_openapi3.openapi import OpenAPI
from opentelemetry.trace import TracerProvider
from sqlalchemy.exc import DataError

from eventbus import Backoff, Retry, Service
from eventbus.attachments import BusTime, OnStart
from eventbus.observe.tracing import TracedApp
from eventbus.serving import WebServer
from eventbus.sql import Database, Inbox, Outbox, Receipts
from eventbus.sql import metadata as bus_tables
from services.orders.access import warn_of_open_door
from services.orders.api import make_api, route_of
from services.orders.cleaning import KeyCleaning
from services.orders.events import OrderConfirmed, OrderRejected, OrderShipped
from services.orders.handlers import OrderTracker
from services.orders.metrics import OrdersMetrics
from services.orders.settings import OrdersSettings
from services.orders.store import OrderStore
from services.orders.tables import metadata

NAME = "orders"
UNSTORABLE = (DataError, OverflowError)
"""What a database says of a value that it cannot hold: it will not hold it at the next attempt either."""


@dataclass(frozen=True, slots=True)
class OrdersApp:
    """The parts of the service, put together."""

    service: Service
    store: OrderStore
    outbox: Outbox
    api: OpenAPI
    server: WebServer
    metrics: OrdersMetrics


def build(
    settings: OrdersSettings | None = None,
    *,
    retry: Retry | None = None,
    backoff: Backoff | None = None,
    tracer_provider: TracerProvider | None = None,
) -> OrdersApp:
    """Return the service with its database and API; all start and stop with `service` on a bus."""
    settings = settings or OrdersSettings()
    database = Database(settings.database(), synchronous=settings.sqlite_synchronous)
    outbox = Outbox(database, source=NAME, receipts=Receipts(timeout=settings.receipt_timeout))
    inbox = Inbox(database, outbox=outbox)
    time = BusTime()
    store = OrderStore(database, outbox, time)
    tracker = OrderTracker(store)
    service = Service(NAME, backoff=backoff)
    retry = retry or Retry(reject=UNSTORABLE)
    service.on(OrderShipped, inbox=inbox, retry=retry, dry_run=True)(tracker.note_shipped)
    service.on(OrderRejected, inbox=inbox, retry=retry, dry_run=True)(tracker.note_rejected)
    service.on(OrderConfirmed, inbox=inbox, retry=retry, dry_run=True)(tracker.note_confirmed)
    metrics = OrdersMetrics(store)
    api = make_api(store, metrics, settings)
    traced = TracedApp(api, route=lambda environ: route_of(api, environ), provider=tracer_provider)
    server = WebServer(traced, host=settings.host, port=settings.port, hosts=settings.hosts)
    prepare = OnStart(lambda: _prepare(database, settings))
    service.attach(time, prepare, outbox, KeyCleaning(store), metrics, server)
    return OrdersApp(service, store, outbox, api, server, metrics)


def _prepare(database: Database, settings: OrdersSettings) -> None:
    database.create_tables(bus_tables, metadata)
    warn_of_open_door(settings)
