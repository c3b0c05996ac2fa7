"""What the Python of the guides stands in: for each page, what comes before each of its blocks, and after the last one.

A guide shows the lines that matter; here are the events, tables and services around them.
"""

ORDERS = """
from eventbus import Bus, Event, Service

class OrderPlaced(Event, topic="orders_placed", version=1):
    order_id: str

class OrderShipped(Event, topic="orders_shipped", version=1):
    order_id: str

service = Service("fulfillment")
"""

INVOICES = """
from eventbus import Event

class InvoiceIssued(Event, topic="invoice_issued", version=1):
    number: int
"""

OUTBOX = (
    ORDERS
    + INVOICES
    + """
import asyncio
import sqlalchemy as sa
from sqlalchemy import insert
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Invoice(Base):
    __tablename__ = "invoices"
    number: Mapped[int] = mapped_column(primary_key=True)

my_tables = Base.metadata
invoices = Invoice.__table__
orders, shipments = (sa.Table(name, my_tables, sa.Column("order_id", sa.String)) for name in ("orders", "shipments"))
bus = Bus("memory://", source="orders")
"""
)

EACH_ADDED = """
from sqlalchemy.ext.asyncio import create_async_engine
from eventbus.sql.tables import outbox as rows

issue(1)

async def run():
    asyncs = create_async_engine(engine.url)
    async with AsyncSession(asyncs) as session:
        await issue_in_asyncio(session, 2)
    await asyncs.dispose()

asyncio.run(run())
with engine.connect() as connection:
    added = connection.scalars(sa.select(rows.c.topic).where(rows.c.topic == "invoice_issued")).all()
    assert len(added) == 2, added
outbox = attached
"""

SHIPPED = """
import gevent
bus.start(service)
bus.publish(OrderPlaced(order_id="B2"))
until = gevent.get_hub().loop.now() + 60
while "B2" not in database.read(lambda connection: connection.scalars(sa.select(shipments.c.order_id)).all()):
    assert gevent.get_hub().loop.now() < until
    gevent.sleep(0.02)

class MailPrepared(Event, topic="mails", version=1):
    order_id: str

class MailSent(Event, topic="mails_sent", version=1):
    order_id: str

class Book:
    def __init__(self):
        self.noted = []
    def claim(self, event_id):
        return event_id not in self.noted
    def note(self, event_id):
        self.noted.append(event_id)

class Mailer:
    sent = []
    def send(self, mail):
        self.sent.append(mail)

book, mailer = Book(), Mailer()
service = Service("mails")
"""

MAILED = """
bus.start(service)
bus.publish(MailPrepared(order_id="B2"))
while not book.noted:
    assert gevent.get_hub().loop.now() < until
    gevent.sleep(0.02)
assert mailer.sent == [MailPrepared(order_id="B2")]
bus.stop()
"""

DJANGO = (
    INVOICES
    + """
import django
from django.conf import settings
"""
)

WITH_DJANGO = """
settings.configure(
    INSTALLED_APPS=INSTALLED_APPS,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    ROOT_URLCONF="shop.urls",
)
django.setup()
from django.core.management import call_command
from django.db import models

class Invoice(models.Model):
    number = models.IntegerField()
    class Meta:
        app_label = "eventbus"

call_command("migrate", verbosity=0)
from django.db import connection
with connection.schema_editor() as editor:
    editor.create_model(Invoice)
"""

LEDGER = """
from eventbus import Service
entered = []
ledger_service = Service("ledger")
ledger_service.on(InvoiceIssued)(lambda invoice: entered.append(invoice.number))
"""

DJANGO_TESTED = """
import unittest
result = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(Issuing))
assert result.wasSuccessful() and result.testsRun == 2
assert entered == [7]
"""

AROUND = {
    "README.md": [
        "",
        """
import sqlalchemy as sa
from sqlalchemy import insert
from eventbus.sql import Database, Inbox, Outbox, SqlContext, metadata

class OrderShipped(Event, topic="orders_shipped", version=1):
    order_id: str

tables = sa.MetaData()
shipments = sa.Table("shipments", tables, sa.Column("order_id", sa.String))
database = Database("sqlite://")
database.create_tables(metadata, tables)
outbox = Outbox(database)
inbox = Inbox(database, outbox=outbox)
service = Service("shipping")
""",
        """
from eventbus.testing import Harness
with Harness(service) as harness:
    harness.bus.attach(outbox)
    harness.publish(OrderPlaced(order_id="A1"))
    harness.settle()
    assert harness.published(OrderShipped) == [OrderShipped(order_id="A1")]
""",
    ],
    "docs/guides/contracts.md": ["", "assert len(test_contracts.pytestmark[0].args[1]) == 1"],
    "docs/guides/django.md": [DJANGO, WITH_DJANGO, LEDGER, DJANGO_TESTED],
    "docs/guides/first-service.md": [
        "",
        "import gevent, os, signal\ngevent.spawn_later(0.3, os.kill, os.getpid(), signal.SIGTERM)",
        """
from datetime import UTC, datetime
from uuid import uuid4
class OrderPlaced(OrderPlaced, topic="orders_placed", version=1):
    pass
bus, order_id = Bus("memory://"), uuid4()
event, events = OrderPlaced(order_id=order_id), [OrderPlaced(order_id=uuid4()) for _ in range(3)]
""",
        INVOICES + "bus.stop()",
        "import asyncio\nasyncio.run(main())",
    ],
    "docs/guides/operating.md": [
        "",
        'assert "ada@" not in repr(CustomerRegistered(customer_id="1", email="ada@example.org"))',
        "",
    ],
    "docs/guides/outbox-and-inbox.md": [OUTBOX, "attached = outbox", EACH_ADDED, SHIPPED, MAILED],
    "docs/guides/publishers.md": [
        "",
        "",
        INVOICES,
        "import asyncio\nasyncio.run(issue())\npublisher.close()",
    ],
    "docs/guides/testing.md": [
        ORDERS + "\nservice.on(OrderPlaced)(lambda order: OrderShipped(order_id=order.order_id))\n",
        "test_an_order_is_shipped()",
    ],
    "docs/guides/which-engine.md": [
        "",
        """
import psycopg
with psycopg.connect("postgresql://shop@localhost/shop") as made:
    made.execute("CREATE TABLE orders (id text)")
bus = Bus("postgresql://shop@localhost/shop")
bus.declare(service)
""",
        """
assert bus.engine.stats()["orders_placed"].messages == 1
bus.stop()
""",
        "",
    ],
}
