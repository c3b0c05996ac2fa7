"""A script: `python script.py 1 20` issues these invoices, each with its event in one transaction."""

import os
import sys

import sqlalchemy as sa
from shop import InvoiceIssued, invoices

from eventbus.sql import Outbox

outbox = Outbox(source="script")
engine = sa.create_engine(os.environ["DATABASE_URL"])

for number in range(int(sys.argv[1]), int(sys.argv[2]) + 1):
    with engine.begin() as connection:
        if connection.scalar(sa.select(invoices).where(invoices.c.number == number)) is None:
            connection.execute(sa.insert(invoices).values(number=number))
            outbox.add(connection, InvoiceIssued(number=number))
