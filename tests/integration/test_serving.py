"""The HTTP server over a real connection, and a service as a process: quick answers, bounded bodies, a stop that drains."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
import urllib3

from eventbus import Bus, ConfigurationError
from eventbus.serving import HealthApp, WebServer
from tests.nsqd import Process
from tests.ports import HOST, free_port
from tests.waiting import PATIENCE, eventually

BODY = {
    "customer_id": "c-1",
    "email": "ada@example.org",
    "lines": [{"sku": "SKU-1", "quantity": 1, "price": "1.00"}],
}


class Service:
    """The orders service as a process of its own on `memory://`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        os.environ.update(ORDERS_PORT=str(self.port), ORDERS_DATABASE_URL=f"sqlite:///{folder}/orders.db")
        try:
            self.process = Process(sys.executable, "-m", "services.orders")
        finally:
            del os.environ["ORDERS_PORT"], os.environ["ORDERS_DATABASE_URL"]
        self.http = urllib3.PoolManager(retries=False, timeout=PATIENCE)
        eventually(self._answers, "the orders service")

    def _answers(self) -> bool:
        try:
            return self.http.request("GET", f"{self.url}/readyz").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def post(self, body: bytes, **headers: str) -> urllib3.BaseHTTPResponse:
        given = {"Content-Type": "application/json", **headers}
        return self.http.request("POST", f"{self.url}/orders", body=body, headers=given)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("orders"))
    yield made
    made.process.end()


def test_answers_on_a_kept_connection_do_not_wait_for_acknowledgements(service: Service) -> None:
    def takes() -> float:
        began = time.perf_counter()
        assert service.post(json.dumps(BODY).encode()).status == 201
        return time.perf_counter() - began

    for _ in range(20):  # at first the kernel acknowledges at once
        takes()
    eventually(lambda: takes() < 0.03, "an answer; Nagle's algorithm would make each take 40 ms")


def test_a_body_over_the_limit_is_refused_whether_it_says_its_length_or_not(service: Service) -> None:
    huge = b'{"note": "' + b"x" * 300_000 + b'"}'
    assert service.post(huge).status == 413

    def pieces() -> Iterator[bytes]:
        for _ in range(30):
            yield b"x" * 10_000

    answer = service.http.request(
        "POST", f"{service.url}/orders", body=pieces(), headers={"Content-Type": "application/json"}, chunked=True
    )
    assert answer.status == 413
    assert service.post(json.dumps(BODY).encode()).status == 201


@pytest.mark.parametrize(
    "raw",
    [
        b'POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"a"',
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_a_broken_request_harms_nobody(service: Service, raw: bytes) -> None:
    with socket.create_connection((HOST, service.port), timeout=PATIENCE) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(PATIENCE)
        said = b"".join(iter(lambda: connection.recv(4096), b""))
    assert b"Traceback" not in said
    assert said == b"" or b" 4" in said.split(b"\r\n")[0]
    assert service.post(json.dumps(BODY).encode()).status == 201


def takes_connections(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_stop_lets_requests_end_and_takes_no_new_ones(tmp_path: Path) -> None:
    service = Service(tmp_path)
    length = len(json.dumps(BODY))
    head = (
        "POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )
    with socket.create_connection((HOST, service.port), timeout=PATIENCE) as connection:
        connection.sendall(head.encode())
        connection.settimeout(PATIENCE)
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n", "the request is under way"
        connection.sendall(json.dumps(BODY).encode()[:10])
        service.process.signal(signal.SIGTERM)
        eventually(lambda: not takes_connections(service.port))
        connection.sendall(json.dumps(BODY).encode()[10:])
        assert connection.recv(4096).startswith(b"HTTP/1.1 201"), "the request under way was answered"
    assert service.process.wait() == 0
    assert not takes_connections(service.port)
    service.process.end()


def test_health_pages() -> None:
    def broken() -> None:
        raise RuntimeError("user=secret host=internal")

    def ask(app: HealthApp, path: str) -> tuple[str, str]:
        seen: list[str] = []
        body = b"".join(app({"PATH_INFO": path}, lambda status, headers: seen.append(status)))
        return seen[0][:3], body.decode()

    assert ask(HealthApp({"database": broken}), "/healthz")[0] == "200"
    code, said = ask(HealthApp({"database": broken}), "/readyz")
    assert code == "503"
    assert "RuntimeError" in said
    assert "secret" not in said
    assert ask(HealthApp({}), "/readyz")[0] == "200"
    assert ask(HealthApp({}), "/elsewhere")[0] == "404"


def test_an_address_that_is_taken_is_named() -> None:
    first = WebServer(HealthApp({}))
    first.start()
    with pytest.raises(ConfigurationError, match=f"HTTP on 127.0.0.1:{first.port}"):
        WebServer(HealthApp({}), port=first.port).start()
    first.stop_intake()
    first.stop(1.0)


def test_a_forked_child_takes_no_request_of_its_parents() -> None:
    def app(environ: object, start: Any) -> list[bytes]:
        start("200 OK", [("Connection", "close")])
        return [str(os.getpid()).encode()]

    def ask() -> int:
        return int(urllib3.request("GET", server.url, timeout=PATIENCE).data)

    with Bus("memory://") as bus:
        server = WebServer(app)
        bus.attach(server)
        child = os.fork()
        if child == 0:
            gevent.sleep(3.0)
            os._exit(0)
        said = {gevent.get_hub().threadpool.apply(ask) for _ in range(40)}
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert said == {os.getpid()}


STOPPED_UNDER_LOAD = """
from gevent import monkey; monkey.patch_all()
import socket, time
from eventbus import Bus
from eventbus.observe.health import Health, HealthPages, HealthServer
from eventbus.observe.metrics import Metrics
with Bus("memory://") as bus:
    server = HealthServer(HealthPages(Health(bus), Metrics()), "127.0.0.1:0")
    clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
    time.sleep(0.1)
    server.stop()
"""


def test_a_process_whose_health_pages_were_busy_ends_well() -> None:
    """A timer that outlives the loop of its thread crashes the interpreter, now and then, when all else has ended."""
    for process in [Process(sys.executable, "-c", STOPPED_UNDER_LOAD) for _ in range(4)]:
        assert process.wait() == 0, process.output()
        process.end()
