"""What the examples share: the event and a table. `python shop.py` makes that table and those of the outbox."""

import os

import sqlalchemy as sa

from eventbus import Event
from eventbus.sql import upgrade


class InvoiceIssued(Event, topic="invoice_issued", version=1):
    number: int


metadata = sa.MetaData()
invoices = sa.Table("invoices", metadata, sa.Column("number", sa.Integer, primary_key=True))

if __name__ == "__main__":
    with sa.create_engine(os.environ["DATABASE_URL"]).begin() as connection:
        metadata.create_all(connection)
        upgrade(connection)
