"""Flask, under any worker of gunicorn's: `gunicorn --worker-class gthread flask_app:app`; sync and gevent as well."""

import os

import sqlalchemy as sa
from flask import Flask
from shop import InvoiceIssued, invoices

from eventbus.sql import Outbox

app = Flask(__name__)
outbox = Outbox(source="flask")
engine = sa.create_engine(os.environ["DATABASE_URL"], pool_pre_ping=True)


@app.put("/invoices/<int:number>")
def issue(number):
    try:
        with engine.begin() as connection:
            connection.execute(sa.insert(invoices).values(number=number))
            outbox.add(connection, InvoiceIssued(number=number))
    except sa.exc.IntegrityError:
        return "", 200  # it was issued before
    return "", 201
