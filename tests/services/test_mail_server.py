"""What a mail server answers, and what is made of it: a kept connection that ends, TLS, logins."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import trustme
from pydantic import SecretStr, ValidationError

from services.email_confirmation.events import MailPrepared
from services.email_confirmation.mailer import Mailer, PermanentMailError, TemporaryMailError, UncertainMailError
from services.email_confirmation.message import make_message
from services.email_confirmation.settings import EmailSettings
from tests.nsqd import HOST
from tests.services.smtp import MailServer


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


class _Talker:
    """A mail server of a few lines, for manners that aiosmtpd does not have."""

    def __init__(self, answer: Callable[[bytes, int], bytes | None]) -> None:
        self._answer = answer
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.taken = 0
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"220 hello\r\n")
            for line in lines:
                said = self._answer(line[:4].upper(), number)
                if said is None:
                    return
                connection.sendall(said)
                if said.startswith(b"421"):
                    return
                if said.startswith(b"354"):
                    for content in lines:
                        if content == b".\r\n":
                            break
                    self.taken += 1
                    connection.sendall(b"250 taken\r\n")

    def close(self) -> None:
        self._listener.close()


@pytest.mark.parametrize("verb", [b"RSET", b"MAIL", b"RCPT", b"DATA"])
@pytest.mark.parametrize("answer", [b"421 4.4.2 timeout exceeded\r\n", None])
def test_a_kept_connection_that_ends_is_no_failure(verb: bytes, answer: bytes | None) -> None:
    used: set[int] = set()

    def manners(line: bytes, number: int) -> bytes | None:
        if line == b"DATA" and number not in used:
            used.add(number)
            return b"354 go\r\n"
        if line == verb and number in used:
            return answer
        return b"354 go\r\n" if line == b"DATA" else b"250 ok\r\n"

    server = _Talker(manners)
    mailer = Mailer(EmailSettings(smtp_port=server.port))
    message = make_message(job(), event_id="e", sender="shop@example.org", date=datetime.now(UTC))
    try:
        for _ in range(3):
            mailer.send(message, "ada@example.org")
        assert (server.taken, server.connections) == (3, 3)
    finally:
        mailer.stop()
        server.close()


@pytest.mark.parametrize(
    ("verb", "answer", "kind"),
    [
        (b"MAIL", b"421 busy\r\n", TemporaryMailError),
        (b"EHLO", b"421 busy\r\n", TemporaryMailError),
        (b"RCPT", b"450 greylisted\r\n", TemporaryMailError),
        (b"RCPT", b"550 no such mailbox\r\n", PermanentMailError),
        (b"DATA", b"554 no\r\n", PermanentMailError),
        (b"DATA", b"530 log in\r\n", TemporaryMailError),
    ],
)
def test_each_answer_of_a_server_has_its_meaning(verb: bytes, answer: bytes, kind: type[Exception]) -> None:
    server = _Talker(lambda line, _: answer if line == verb else b"354 go\r\n" if line == b"DATA" else b"250 ok\r\n")
    mailer = Mailer(EmailSettings(smtp_port=server.port))
    message = make_message(job(), event_id="e", sender="shop@example.org", date=datetime.now(UTC))
    try:
        with pytest.raises(kind) as caught:
            mailer.send(message, "ada@example.org")
        assert not isinstance(caught.value, UncertainMailError)
        assert server.taken == 0
    finally:
        mailer.stop()
        server.close()


def test_tls_from_the_first_byte(tmp_path: Any) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(tls)
    server = MailServer(implicit_tls=tls)
    message = make_message(job(), event_id="e", sender="shop@example.org", date=datetime.now(UTC))
    try:
        mailer = Mailer(EmailSettings(smtp_port=server.port, smtp_security="tls", smtp_ca_file=str(tmp_path / "ca.pem")))
        mailer.send(message, "ada@example.org")
        mailer.stop()
        assert len(server.mails) == 1
        distrustful = Mailer(EmailSettings(smtp_port=server.port, smtp_security="tls"))
        with pytest.raises(TemporaryMailError, match="certificate"):
            distrustful.send(message, "ada@example.org")
    finally:
        server.close()


def test_a_login_goes_over_no_network_in_clear() -> None:
    for host in ("mail.example.org", "10.0.0.1", "127.0.0.1.example.org"):
        with pytest.raises(ValidationError, match="in clear"):
            EmailSettings(smtp_host=host, smtp_user="shop", smtp_password=SecretStr("x"))
    for host in ("127.0.0.1", "::1", "localhost"):
        EmailSettings(smtp_host=host, smtp_user="shop", smtp_password=SecretStr("x"))
    EmailSettings(smtp_host="mail.example.org", smtp_user="shop", smtp_password=SecretStr("x"), smtp_security="tls")
