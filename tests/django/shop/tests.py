"""What a project's own tests do with the outbox; run by tests/django/test_django.py on both databases."""

import io
import sys
from datetime import UTC, datetime, timedelta

import django.test
from django.core.management import call_command
from django.db import connection, connections, transaction
from shop.events import InvoiceIssued, Noted
from shop.models import Invoice

from eventbus import BusStateError, ConfigurationError, MessageTooLargeError, Service
from eventbus.django import Outbox, publish_on_commit
from eventbus.django.models import OutboxEvent
from eventbus.django.testing import added, relay
from eventbus.sql.receipts import REPLY
from eventbus.sql.tables import outbox as table
from eventbus.wire.codec import decode

# before the harness, which stands on gevent
LOADED = [name for name in sys.modules if name.partition(".")[0] in ("gevent", "gnsq")]


class Long(InvoiceIssued, topic="invoice_issued"):
    text: str


class Adding(django.test.TestCase):
    databases = {"default", "other"}

    def test_an_event_is_a_row_of_the_transaction(self):
        Invoice.objects.create(number=1)
        identifier = Outbox().add(InvoiceIssued(number=1), subject="one")
        publish_on_commit(InvoiceIssued(number=2))
        self.assertEqual(added(InvoiceIssued), [InvoiceIssued(number=1), InvoiceIssued(number=2)])
        self.assertEqual(added(Noted), [])
        row = OutboxEvent.objects.get(event_id=identifier)
        envelope = decode(bytes(row.body))
        self.assertEqual((envelope.source, envelope.subject, row.topic), ("shop", "one", "invoice_issued"))
        self.assertTrue(row.wants_receipts)
        self.assertEqual(envelope.extensions, {REPLY: "invoice_issued.receipts"})

    def test_the_same_event_again_adds_nothing(self):
        event = InvoiceIssued(number=1)
        self.assertEqual(publish_on_commit(event), publish_on_commit(event))
        self.assertEqual(len(added(InvoiceIssued)), 1)

    def test_a_rollback_takes_it_back(self):
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            publish_on_commit(InvoiceIssued(number=1))
            raise ZeroDivisionError
        self.assertEqual(added(InvoiceIssued), [])

    @django.test.override_settings(DEBUG=True)
    def test_the_log_of_statements_bears_its_bytes(self):
        publish_on_commit(InvoiceIssued(number=1))
        self.assertIn("eventbus_outbox", connection.queries[-1]["sql"])

    def test_any_alias(self):
        with transaction.atomic(using="other"):
            Outbox(source="billing", receipts=False).add(InvoiceIssued(number=3), using="other")
        self.assertEqual((added(InvoiceIssued), added(InvoiceIssued, using="other")), ([], [InvoiceIssued(number=3)]))

    def test_what_could_never_be_sent_adds_nothing(self):
        with self.assertRaises(MessageTooLargeError):
            publish_on_commit(Long(number=1, text="x" * 1_100_000))
        self.assertEqual(OutboxEvent.objects.count(), 0)

    def test_delays_wait_in_the_row(self):
        publish_on_commit(Noted(number=1), delay=60.0)
        publish_on_commit(Noted(number=2), deliver_at=datetime.now(UTC) + timedelta(hours=1))
        first, second = OutboxEvent.objects.order_by("id")
        self.assertAlmostEqual(second.due_at - first.due_at, 3540.0, delta=60.0)

    def test_who_adds_where_nobody_relays_is_told_once(self):
        outbox = Outbox(warn_after=1.0)
        with self.assertNoLogs("eventbus.sql"):
            outbox.add(Noted(number=1))
        OutboxEvent.objects.update(created_at=1.0)
        late = Outbox(warn_after=1.0)
        with self.assertLogs("eventbus.sql") as logs:
            for number in range(3):
                late.add(Noted(number=number))
        self.assertEqual(len(logs.output), 1)
        self.assertIn("eventbus relay", logs.output[0])

    def test_a_missing_table_names_the_command(self):
        with self.assertRaisesRegex(ConfigurationError, "migrate eventbus --database other"):
            with transaction.atomic(using="other"):
                with connections["other"].cursor() as cursor:
                    cursor.execute("ALTER TABLE eventbus_outbox RENAME TO gone")
                Outbox().add(Noted(number=1), using="other")
        self.assertEqual(added(Noted, using="other"), [])


class WithTheHarness(django.test.TestCase):
    def test_a_service_handles_what_was_added(self):
        from eventbus.testing import Harness

        seen = []
        service = Service("ledger")

        @service.on(InvoiceIssued)
        def note(event: InvoiceIssued) -> Noted:
            seen.append(event.number)
            return Noted(number=event.number)

        with Harness(service) as harness:
            publish_on_commit(InvoiceIssued(number=1))
            publish_on_commit(InvoiceIssued(number=2), delay=3600.0)
            publish_on_commit(InvoiceIssued(number=3), expires_in=600.0)
            self.assertEqual(relay(harness.bus), 3)
            harness.advance(10.0)
            self.assertEqual(seen, [1, 3])
            harness.settle()
            self.assertEqual(seen, [1, 3, 2])
            self.assertEqual(harness.published(Noted), [Noted(number=number) for number in (1, 3, 2)])
            self.assertEqual(relay(harness.bus), 0)

    def test_no_gevent_is_loaded_by_what_adds(self):
        self.assertEqual(LOADED, [])


class Committed(django.test.TransactionTestCase):
    databases = {"default", "other"}

    def test_outside_of_a_transaction(self):
        with self.assertRaisesRegex(BusStateError, "publish_on_commit"):
            Outbox().add(Noted(number=1))
        publish_on_commit(Noted(number=2))
        self.assertEqual(added(Noted), [Noted(number=2)])

    def test_what_the_test_before_committed_is_gone(self):
        self.assertEqual(OutboxEvent.objects.count(), 0)


class TheApp(django.test.TestCase):
    def test_the_model_has_the_columns_of_the_table(self):
        mine = {field.column: field.null for field in OutboxEvent._meta.local_fields}
        self.assertEqual(mine, {column.name: bool(column.nullable) for column in table.columns})

    def test_no_migration_is_missing(self):
        call_command("makemigrations", check=True, dry_run=True, stdout=io.StringIO())

    def test_the_tables_are_those_of_the_library(self):
        names = connection.introspection.table_names()
        self.assertLessEqual(set(table.metadata.tables), set(names))
