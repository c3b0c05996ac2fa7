"""Who listens: a service on gevent, `eventbus run ledger:service`. Its inbox lets each invoice have its effect once."""

import os

import sqlalchemy as sa
from shop import InvoiceIssued

from eventbus import Service
from eventbus.sql import Database, Inbox, SqlContext, metadata

tables = sa.MetaData()
entries = sa.Table("entries", tables, sa.Column("id", sa.Integer, primary_key=True), sa.Column("number", sa.Integer))

database = Database(os.environ["LEDGER_URL"])
database.create_tables(metadata, tables)
service = Service("ledger")


@service.on(InvoiceIssued, inbox=Inbox(database))
def enter(event: InvoiceIssued, context: SqlContext) -> None:
    context.connection.execute(sa.insert(entries).values(number=event.number))
