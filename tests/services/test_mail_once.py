"""A mail is sent once, whatever its server says and whatever the database does; and nothing is held open meanwhile."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from eventbus import Reject
from eventbus.testing import Harness
from services.email_confirmation import app as email
from services.email_confirmation.events import MailPrepared, OrderConfirmed
from services.email_confirmation.handlers import PATIENT
from services.email_confirmation.mailer import TemporaryMailError, UncertainMailError
from services.email_confirmation.postbook import BeingSentError, GivenUpError, PostBook, key_of
from services.email_confirmation.settings import EmailSettings
from services.email_confirmation.tables import claims, mails
from tests.postgres import own_database
from tests.services.smtp import MailServer
from tests.waiting import PATIENCE


def job(**changes: Any) -> MailPrepared:
    values: dict[str, Any] = {
        "kind": "confirmation",
        "order_id": uuid4(),
        "recipient": "ada@example.org",
        "subject": "Your order",
        "text": "Thank you.\n.\n..and more\n",
        "html": "<p>Thank you.</p>\n",
    }
    return MailPrepared(**{**values, **changes})


@pytest.fixture
def start(new_url: Callable[[], str], harness: Harness) -> Iterator[Callable[..., email.EmailApp]]:
    """Starts an email service on both kinds of databases in turn."""
    made: list[email.EmailApp] = []

    def build(
        port: int, *, instance: str | None = None, url: str | None = None, smtp_timeout: float = 10.0
    ) -> email.EmailApp:
        settings = EmailSettings(
            database_url=SecretStr(url or new_url()), smtp_port=port, concurrency=2, smtp_timeout=smtp_timeout
        )
        made.append(email.build(settings, instance=instance))
        harness.start(*made[-1].services)
        return made[-1]

    yield build
    harness.close()
    for each in made:
        each.database.close()


def test_no_transaction_is_open_while_the_mail_server_is_spoken_to(
    start: Callable[..., email.EmailApp], harness: Harness, new_url: Callable[[], str]
) -> None:
    url = new_url()
    seen: list[bool] = []

    def look() -> None:
        if url.startswith("sqlite"):
            connection = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=60.0, isolation_level=None)
            try:
                connection.execute("BEGIN IMMEDIATE")  # fails where another transaction writes all the while
                seen.append(True)
            except sqlite3.OperationalError:
                seen.append(False)
            finally:
                connection.close()
            return
        # other sessions of the service are between two statements for a moment; a transaction that waits for this mail stays
        query = """
            SELECT pid, xact_start FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'
        """
        with psycopg.connect(url, autocommit=True) as other:
            waiting = still = set(other.execute(query))
            deadline = time.monotonic() + 60.0
            while still and time.monotonic() < deadline:
                time.sleep(0.01)
                still = waiting & set(other.execute(query))
            seen.append(not still)

    server = MailServer(look=look)
    try:
        start(server.port, url=url, smtp_timeout=PATIENCE)
        harness.publish(job())
        harness.settle(timeout=PATIENCE)
        assert seen == [True]
        assert len(server.mails) == 1
    finally:
        server.close()


def test_the_name_of_a_host_has_any_length(start: Callable[..., email.EmailApp], harness: Harness) -> None:
    server = MailServer()
    try:
        app = start(server.port, instance="x" * 300 + "/1")
        harness.publish(job())
        harness.settle(timeout=50.0)
        assert len(server.mails) == 1
        by = app.database.read(lambda connection: connection.scalar(sa.select(mails.c.sent_by)))
        assert by.endswith("x/1")
        assert app.database.read(lambda connection: connection.scalar(sa.select(claims.c.event_id))) is None
        text = server.mails[0].get_body(("plain",)).get_content()  # type: ignore[union-attr]
        assert text.replace("\r\n", "\n") == "Thank you.\n.\n..and more\n", "lines that begin with a dot are kept"
    finally:
        server.close()


def test_a_note_that_fails_sends_no_second_mail(data: str, harness: Harness) -> None:
    server = MailServer()
    app = email.build(EmailSettings(database_url=SecretStr(data), smtp_port=server.port))
    try:
        with harness.expecting(sa.exc.IntegrityError):
            harness.start(*app.services)
            refuse = "CREATE TRIGGER away BEFORE INSERT ON mails BEGIN SELECT RAISE(ABORT, 'away'); END"
            app.database.transact(lambda connection: connection.exec_driver_sql(refuse))
            harness.publish(job())
            harness.advance(30.0, timeout=50.0)
            assert len(server.mails) == 1
            app.database.transact(lambda connection: connection.exec_driver_sql("DROP TRIGGER away"))
            harness.settle(timeout=50.0)
        assert len(server.mails) == 1
        assert len(harness.published(OrderConfirmed)) == 1
    finally:
        harness.close()
        app.database.close()
        server.close()


def test_a_note_waits_for_a_database_that_went_away_while_the_mail_was_sent(postgres_server: str, harness: Harness) -> None:
    with own_database(postgres_server) as url, psycopg.connect(postgres_server, autocommit=True) as operator:
        name = url.rpartition("/")[2]

        def leave() -> None:
            operator.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            threading.Timer(3.0, come_back).start()

        def come_back() -> None:
            operator.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')

        server = MailServer(look=leave)
        app = email.build(EmailSettings(database_url=SecretStr(url), smtp_port=server.port, smtp_timeout=PATIENCE))
        try:
            harness.start(*app.services)
            harness.publish(job())
            harness.settle(timeout=PATIENCE)  # says so where the handler failed: another replica would send it again
            assert len(server.mails) == 1
            assert app.database.read(lambda connection: connection.scalar(sa.select(mails.c.kind))) == "confirmation"
        finally:
            harness.close()
            app.database.close()
            server.close()


def test_a_mail_of_which_nobody_knows_is_sent_a_few_times_at_most(
    start: Callable[..., email.EmailApp], harness: Harness
) -> None:
    server = MailServer()
    try:
        start(server.port)
        server.answers = ["taken, and never said"] * 50
        with harness.expecting(UncertainMailError):
            harness.publish(job())
            harness.settle(timeout=50.0)
        (letter,) = harness.dead_letters("default")
        assert "without a word" in letter.reason
        assert len(server.mails) == 5
    finally:
        server.close()


@pytest.mark.parametrize("answer", ["530 5.7.0 log in first", "535 5.7.8 wrong", "538 encrypt first", "550 sender refused"])
def test_what_is_the_set_ups_fault_keeps_the_mail(
    start: Callable[..., email.EmailApp], harness: Harness, answer: str
) -> None:
    server = MailServer()
    try:
        start(server.port)
        server.sender_answers = [answer] * 3
        with harness.expecting(TemporaryMailError):
            harness.publish(job())
            harness.settle(timeout=50.0)
        assert harness.dead_letters() == []
        assert len(server.mails) == 1
    finally:
        server.close()


def test_days_are_days() -> None:
    average = sum(PATIENT.longest_delay(attempt) / 2 for attempt in range(1, PATIENT.attempts))
    assert average > 4 * 86400


def test_one_worker_has_a_mail_at_a_time_and_for_a_bounded_time(data: str, harness: Harness) -> None:
    app = email.build(EmailSettings(database_url=SecretStr(data), smtp_port=1))
    harness.start(*app.services)
    now = [1000.0]
    one, two = (PostBook(app.database, lambda: now[0]) for _ in range(2))
    try:
        assert one.claim("k")
        with pytest.raises(BeingSentError):
            two.claim("k")
        one.release("k")
        for _ in range(5):
            assert two.claim("k")
            now[0] += 121.0
        with pytest.raises(GivenUpError):
            one.claim("k")
        ahead = PostBook(app.database, lambda: 1e9)  # a worker whose clock was years ahead
        assert ahead.claim("a")
        assert one.claim("a"), "a claim of another time holds nobody up"
        one.note("a", kind="shipping", order_id=uuid4(), by="w")
        assert not two.claim("a")
    finally:
        harness.close()
        app.database.close()


def test_ids_of_strangers_are_told_from_our_own() -> None:
    assert key_of("email_confirmation", "0190", own="email_confirmation") == "0190"
    keys = {key_of(source, each, own="email_confirmation") for source in ("a", "b") for each in ("0190", "x" * 1024)}
    assert len(keys) == 4
    assert all(len(key) == 64 for key in keys)


def test_a_late_handler_has_no_connection_and_publishes_by_returning(data: str, harness: Harness) -> None:
    from eventbus import Service
    from eventbus.errors import HandlerResultError
    from eventbus.sql import Database, LateContext, LateInbox, Outbox
    from eventbus.sql import metadata as bus_tables

    database = Database(data)
    database.create_tables(bus_tables)
    service = Service("late")
    runs: list[str] = []

    @service.on(MailPrepared, inbox=LateInbox(database, outbox=Outbox(database, source="late")))
    def handle(event: MailPrepared, context: LateContext) -> OrderConfirmed:
        runs.append(context.event_id)
        for forbidden in (lambda: context.connection, lambda: context.publish(event)):
            with pytest.raises(HandlerResultError):
                forbidden()
        if event.kind == "shipping":
            raise Reject("no")
        return OrderConfirmed(order_id=event.order_id)

    try:
        harness.start(service)
        harness.duplicate_next(2)
        harness.publish(job())
        harness.settle()
        assert len(harness.published(OrderConfirmed)) == 1, "what a double returned is not published again"
        harness.publish(job(kind="shipping"))
        harness.settle()
        assert len(harness.dead_letters("late")) == 1
    finally:
        harness.close()
        database.close()
