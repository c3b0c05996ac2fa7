"""The email confirmation service: its mails arrive, by the worker pattern, whatever the mail server does meanwhile."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import pytest
import trustme
from pydantic import SecretStr

from eventbus.testing import Harness
from services.email_confirmation import app as email
from services.email_confirmation.events import MailPrepared, OrderConfirmed, OrderLine, OrderPlaced, OrderShipped
from services.email_confirmation.mailer import Mailer, TemporaryMailError
from services.email_confirmation.message import make_message, message_id
from services.email_confirmation.settings import EmailSettings
from tests.ports import HOST, free_port
from tests.services.smtp import MailServer
from tests.waiting import PATIENCE

Make = Callable[..., email.EmailApp]


@pytest.fixture
def server() -> Iterator[MailServer]:
    made = MailServer()
    yield made
    made.close()


@pytest.fixture
def make(new_url: Callable[[], str], harness: Harness) -> Iterator[Make]:
    """Starts email services, two workers each, on both kinds of databases in turn."""
    made: list[email.EmailApp] = []

    def build(port: int, **settings: Any) -> email.EmailApp:
        url = SecretStr(new_url())
        made.append(email.build(EmailSettings(database_url=url, smtp_port=port, concurrency=2, **settings)))
        harness.start(*made[-1].services, *(service.replica("two") for service in made[-1].services))
        return made[-1]

    yield build
    harness.close()
    for each in made:
        each.database.close()


def order(**changes: Any) -> OrderPlaced:
    values: dict[str, Any] = {
        "order_id": uuid4(),
        "email": "ada@example.org",
        "currency": "EUR",
        "total": Decimal("20.00"),
        "lines": (OrderLine(sku="SKU-1", quantity=2, price=Decimal("10.00")),),
    }
    return OrderPlaced(**{**values, **changes})


def test_an_order_gets_its_mail_through_the_job_queue(make: Make, harness: Harness, server: MailServer) -> None:
    make(server.port, public_url="https://shop.example.org")
    placed = order()
    harness.publish(placed)
    harness.settle()
    assert harness.published_types() == ["OrderPlaced", "MailPrepared", "OrderConfirmed"]
    assert harness.engine.stats()["email"].channels["default"].subscribers == 2
    (mail,) = server.mails
    assert server.recipients == [["ada@example.org"]]
    assert mail["To"] == "ada@example.org"
    text, html = (mail.get_body((kind,)).get_content() for kind in ("plain", "html"))  # type: ignore[union-attr]
    assert "2 x SKU-1 at 10.00 EUR" in text
    assert f'href="https://shop.example.org/orders/{placed.order_id}"' in html
    (job,) = [each for each in harness.envelopes() if each.type == "MailPrepared"]
    assert mail["Message-ID"] == f"<{job.id}@example.org>", "the same at each sending, so that a double can be recognised"


def test_doubles_and_failures_send_one_mail(make: Make, harness: Harness, server: MailServer) -> None:
    make(server.port)
    harness.duplicate_next(2)
    harness.fail_next(3, event_type=MailPrepared)
    harness.publish(order())
    harness.settle()
    assert len(server.mails) == 1
    assert len(harness.published(OrderConfirmed)) == 1


def test_markup_in_an_order_is_shown_and_not_run(make: Make, harness: Harness, server: MailServer) -> None:
    make(server.port)
    harness.publish(order(lines=(OrderLine(sku="<img src=x onerror=alert(1)>", quantity=1, price=Decimal(1)),)))
    harness.settle()
    html = server.mails[0].get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "<img" not in html
    assert "&lt;img src=x" in html


def test_while_the_mail_server_is_down_jobs_wait_with_growing_delay(make: Make, harness: Harness) -> None:
    port = free_port()
    make(port)
    orders = [order() for _ in range(5)]
    with harness.expecting(TemporaryMailError):
        for each in orders:
            harness.publish(each)
        harness.advance(1800.0, timeout=PATIENCE)
        runs = len([1 for outcome, _, _ in harness._record.outcomes if outcome.value == "retried"])
        assert 5 <= runs < 250, "half an hour, and not hammered"
        server = MailServer(port=port)
        try:
            harness.settle(timeout=PATIENCE)
            assert {str(mail["Subject"]) for mail in server.mails} == {f"Your order {each.order_id}" for each in orders}
        finally:
            server.close()
    assert len(harness.published(OrderConfirmed)) == 5
    assert harness.dead_letters() == []


def test_a_server_that_asks_to_come_later_is_obeyed_and_one_that_refuses_is_too(
    make: Make, harness: Harness, server: MailServer
) -> None:
    make(server.port)
    server.answers = ["451 greylisted, come later", "421 too busy"]
    with harness.expecting(TemporaryMailError):
        harness.publish(order())
        harness.settle()
    assert len(server.mails) == 1
    server.answers = ["550 no such mailbox"]
    harness.publish(order())
    harness.settle()
    (letter,) = harness.dead_letters("default")
    assert "550 no such mailbox" in letter.reason
    assert len(server.mails) == 1


def test_a_connection_that_the_server_closed_meanwhile_is_no_failure(server: MailServer) -> None:
    mailer = Mailer(EmailSettings(smtp_port=server.port))
    mail = MailPrepared(kind="confirmation", order_id=uuid4(), recipient="a@example.org", subject="s", text="t", html="h")
    message = make_message(mail, event_id="e", sender="shop@example.org", date=datetime.now(UTC))
    mailer.send(message, "a@example.org")
    mailer._idle[0].sock.close()  # type: ignore[union-attr]
    mailer.send(message, "a@example.org")
    assert len(server.mails) == 2
    mailer.stop()


def test_starttls_and_login(tmp_path_factory: pytest.TempPathFactory) -> None:
    authority = trustme.CA()
    folder = tmp_path_factory.mktemp("tls")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(tls)
    server = MailServer(tls=tls, password=b"right")
    plain = MailServer()
    mail = MailPrepared(kind="confirmation", order_id=uuid4(), recipient="a@example.org", subject="s", text="t", html="h")
    message = make_message(mail, event_id="e", sender="shop@example.org", date=datetime.now(UTC))

    def send(port: int, **settings: Any) -> None:
        mailer = Mailer(EmailSettings(smtp_port=port, smtp_security="starttls", smtp_user="shop", **settings))
        try:
            mailer.send(message, "a@example.org")
        finally:
            mailer.stop()

    trusting = {"smtp_ca_file": str(folder / "ca.pem")}
    try:
        send(server.port, smtp_password=SecretStr("right"), **trusting)
        assert server.tls_seen == [True]
        for port, settings, said in (
            (server.port, {"smtp_password": SecretStr("wrong"), **trusting}, "refused the login"),
            (server.port, {"smtp_password": SecretStr("right")}, "certificate"),
            (plain.port, {"smtp_password": SecretStr("right"), **trusting}, "STARTTLS"),
        ):
            with pytest.raises(TemporaryMailError, match=said):
                send(port, **settings)
        assert len(server.mails) == 1
        assert plain.mails == [], "never in clear by accident"
    finally:
        server.close()
        plain.close()


class _Orders(BaseHTTPRequestHandler):
    """An orders API as its document describes it: what the client must be able to read."""

    known: dict[str, Any] = {}

    def do_GET(self) -> None:
        answer = self.known.get(self.path)
        status = 404 if answer is None else 200
        body = answer if isinstance(answer, bytes) else json.dumps(answer or {"status": 404}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def orders_api() -> Iterator[tuple[str, dict[str, Any]]]:
    server = ThreadingHTTPServer((HOST, 0), _Orders)
    _Orders.known = {}
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://{HOST}:{server.server_port}", _Orders.known
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_mail_by_reference_asks_the_orders_service(
    make: Make, harness: Harness, server: MailServer, orders_api: tuple[str, dict[str, Any]]
) -> None:
    url, known = orders_api
    make(server.port, orders_url=url)
    order_id = UUID(int=7)
    harness.publish(OrderShipped(order_id=order_id, tracking_number="TRK-1"))
    harness.advance(5.0)
    assert server.mails == [], "the orders service does not know it yet"
    known[f"/orders/{order_id}"] = {
        "order_id": str(order_id),
        "email": "changed@example.org",
        "currency": "EUR",
        "lines": [{"sku": "SKU-1", "quantity": 2, "price": "1.00"}],
        "something": "new",
    }
    harness.settle()
    (mail,) = server.mails
    assert server.recipients == [["changed@example.org"]], "the address as it is now"
    assert "TRK-1" in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert harness.published(OrderConfirmed) == []


def test_an_answer_that_is_no_order_is_parked(
    make: Make, harness: Harness, server: MailServer, orders_api: tuple[str, dict[str, Any]]
) -> None:
    url, known = orders_api
    make(server.port, orders_url=url)
    known[f"/orders/{UUID(int=8)}"] = b"<html>not an order</html>"
    harness.publish(OrderShipped(order_id=UUID(int=8), tracking_number="TRK-1"))
    harness.settle()
    (letter,) = harness.dead_letters("email_confirmation")
    assert "no order" in letter.reason


def test_the_message_id_depends_on_the_event_alone() -> None:
    assert message_id("0190-1", "shop@example.org") == message_id("0190-1", "shop@example.org") == "<0190-1@example.org>"
