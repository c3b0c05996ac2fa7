"""Wiring of the email confirmation service: the one place where its parts meet."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from eventbus import Backoff, Retry, Service
from eventbus.attachments import BusTime, OnStart
from eventbus.serving import HealthApp, WebServer
from eventbus.sql import Database, LateInbox, Outbox, Receipts
from eventbus.sql import metadata as bus_tables
from services.email_confirmation.events import MailPrepared, OrderPlaced, OrderShipped
from services.email_confirmation.handlers import PATIENT, Sender, Writer
from services.email_confirmation.mailer import Mailer
from services.email_confirmation.orders_client import OrdersClient
from services.email_confirmation.postbook import TIME_LIMIT, PostBook
from services.email_confirmation.settings import EmailSettings
from services.email_confirmation.tables import claims, metadata

NAME = "email_confirmation"
JOBS_CHANNEL = "default"


@dataclass(frozen=True, slots=True)
class EmailApp:
    """The parts of the service: a writer, subscribed to orders, and a sender, which takes jobs in turns with others."""

    writer: Service
    sender: Service
    database: Database

    @property
    def services(self) -> tuple[Service, Service]:
        return self.writer, self.sender


def build(
    settings: EmailSettings | None = None,
    *,
    retry: Retry | None = None,
    backoff: Backoff | None = None,
    instance: str | None = None,
) -> EmailApp:
    """Return a worker of the service with its database; more workers of a process by `replica()` of both services."""
    settings = settings or EmailSettings()
    database = Database(
        settings.database(),
        pool_size=2 * settings.concurrency + 4,
        synchronous=settings.sqlite_synchronous,
    )
    outbox = Outbox(database, source=NAME, receipts=Receipts(timeout=settings.receipt_timeout))
    inbox = LateInbox(database, outbox=outbox)
    time = BusTime()
    prepare = OnStart(lambda: database.create_tables(bus_tables, metadata))
    writer = Service(NAME, backoff=backoff, instance=instance)
    writer.attach(time, prepare)
    token = settings.orders_token.get_secret_value() if settings.orders_token else None
    orders = OrdersClient(settings.orders_url, token)
    write = Writer(orders, settings.public_url or settings.orders_url, retry or PATIENT)
    # both only write: what they return is all that they do
    writer.on(OrderPlaced, inbox=inbox, retry=retry, concurrency=settings.concurrency, dry_run=True)(write.confirm)
    writer.on(OrderShipped, inbox=inbox, retry=retry or PATIENT, concurrency=settings.concurrency, dry_run=True)(
        write.tell_shipped
    )
    sender = Service(NAME, channel=JOBS_CHANNEL, backoff=backoff, instance=instance)
    mailer = Mailer(settings)
    send = Sender(mailer, settings.sender, PostBook(database, time), own=NAME)
    patience = retry or PATIENT
    sender.on(MailPrepared, inbox=inbox, retry=patience, concurrency=settings.concurrency, timeout=TIME_LIMIT, dry_run=True)(
        send.send
    )
    sender.attach(time, prepare, mailer)
    if settings.port is not None:

        def check() -> None:
            nothing = sa.delete(claims).where(sa.false())  # refused where the database takes no writes or has no tables
            database.transact(lambda connection: connection.execute(nothing))

        sender.attach(WebServer(HealthApp({"database": check}), host=settings.host, port=settings.port))
    return EmailApp(writer, sender, database)
