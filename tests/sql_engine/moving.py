"""The running system that a test moves from one engine to the next: a publisher, and a service with an inbox."""

from __future__ import annotations

import os
import signal
import sys

import gevent
import sqlalchemy as sa

from eventbus import Bus, Event, EventBusError, Service
from eventbus.sql import Database, Inbox, SqlContext, metadata

tables = sa.MetaData()
effects = sa.Table("effects", tables, sa.Column("id", sa.Integer, primary_key=True), sa.Column("number", sa.Integer))


class Placed(Event, topic="placed"):
    number: int


def build() -> Service:
    """Return the service; its inbox and what it does lie in one database."""
    database = Database(os.environ["MOVING_DATABASE"], lock_timeout=60.0)
    database.create_tables(metadata, tables)
    service = Service("depot")

    @service.on(Placed, inbox=Inbox(database), concurrency=4)
    def note(event: Placed, context: SqlContext) -> None:
        context.connection.execute(sa.insert(effects).values(number=event.number))

    return service


def publish(ledger: str) -> None:
    """Publish one number after the other, behind those in the ledger, until SIGTERM; write down what was confirmed."""
    is_over = gevent.event.Event()
    gevent.signal_handler(signal.SIGTERM, is_over.set)
    with open(ledger, "a+", buffering=1) as out, Bus() as bus:
        out.seek(0)
        number = len(out.readlines())
        while not is_over.wait(0.003):
            event = Placed(number=number)
            while True:
                try:
                    bus.publish(event)
                    break
                except EventBusError:
                    gevent.sleep(0.05)
            out.write(f"{number}\n")
            number += 1


if __name__ == "__main__":
    publish(sys.argv[1])
