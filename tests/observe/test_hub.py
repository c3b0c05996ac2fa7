from __future__ import annotations

import http.client
import logging
import socket
import time
from contextlib import ExitStack, closing

import gevent
import pytest
from gevent import monkey

from eventbus import Backoff, Bus, Event, Service
from eventbus.errors import ConfigurationError
from eventbus.observe import Health, HealthPages, HealthServer, HubWatch, Metrics
from tests.observe.test_metrics import value
from tests.waiting import PATIENCE, eventually

block = monkey.get_original("time", "sleep")


class Blocking(Event, topic="blocking", version=1):
    seconds: float


def page(port: int, path: str) -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def test_a_handler_that_blocks_the_hub_is_named_while_it_blocks(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    service = Service("slow")
    told_while_blocked: list[bool] = []

    @service.on(Blocking)
    def hold_up(event: Blocking) -> None:
        deadline = time.monotonic() + event.seconds
        while not any(told_while_blocked) and time.monotonic() < deadline:
            block(0.02)
            told_while_blocked.append(any("blocks the hub" in each.getMessage() for each in caplog.records))
        block(0.5)  # told once, however long it goes on

    with Bus("memory://", middleware=[metrics]) as bus, caplog.at_level(logging.ERROR, "eventbus.hub"):
        watch = HubWatch(bus, metrics, limit=1.0)
        watch.start()
        bus.start(service)
        identity = bus.publish(Blocking(seconds=PATIENCE))
        eventually(lambda: bus.dispatchers[0].handled == 1)
        eventually(lambda: value(metrics, "eventbus_hub_blocked_seconds_count", "slow", "blocking", "slow") == 1)
        watch.stop()
    assert any(told_while_blocked)
    lines = [each.getMessage() for each in caplog.records if "blocks the hub" in each.getMessage()]
    assert len(lines) == 1
    assert identity in lines[0]
    assert "hold_up" in lines[0]
    assert "test_hub.py" in lines[0]


def test_handlers_that_wait_are_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    service = Service("patient")
    service.on(Blocking)(lambda event: gevent.sleep(event.seconds))
    with Bus("memory://") as bus:
        watch = HubWatch(bus, limit=2.0)
        watch.start()
        bus.start(service)
        bus.publish(Blocking(seconds=8.0))
        eventually(lambda: bus.dispatchers[0].handled == 1)
        watch.stop()
    assert "blocks the hub" not in caplog.text


def test_the_pages_answer_while_a_handler_blocks() -> None:
    metrics = Metrics()
    service = Service("slow")
    seen: list[tuple[int, str]] = []

    @service.on(Blocking)
    def hold_up(event: Blocking) -> None:
        block(event.seconds)
        # this process is not patched: http.client lets no greenlet run while it waits
        seen.extend(page(server.port, path) for path in ("/readyz", "/healthz", "/metrics"))

    with Bus("memory://", middleware=[metrics]) as bus:
        bus.message_timeout = 3.0
        watch = HubWatch(bus, metrics, limit=1.0)
        health = Health(bus, watch)
        server = HealthServer(HealthPages(health, metrics), "127.0.0.1:0")
        watch.start()
        bus.start(service)
        assert page(server.port, "/readyz") == (503, "starting\n")
        health.is_started = True
        assert page(server.port, "/readyz") == (200, "ready\n")
        bus.publish(Blocking(seconds=3.5))
        eventually(lambda: len(seen) == 3)
        ready, alive, metered = seen
        assert ready[0] == 503
        assert "the hub is blocked for" in ready[1]
        assert "hold_up" in ready[1]
        assert alive[0] == 503
        assert "longer than the message timeout" in alive[1]
        assert metered[0] == 200
        eventually(lambda: page(server.port, "/readyz") == (200, "ready\n"))
        assert page(server.port, "/healthz") == (200, "alive\n")
        assert page(server.port, "/other")[0] == 404
        watch.stop()
        server.stop()

    def is_gone() -> bool:
        try:
            page(server.port, "/healthz")
        except ConnectionError:
            return True
        return False

    eventually(is_gone)


def test_a_port_that_is_taken_is_named() -> None:
    with Bus("memory://") as bus:
        app = HealthPages(Health(bus), Metrics())
        server = HealthServer(app, "127.0.0.1:0")
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{server.port}.*give another port"):
            HealthServer(app, f"127.0.0.1:{server.port}")
        server.stop()


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nX: "], ids=["silent", "half a request"])
def test_clients_that_do_not_end_their_request_hold_up_no_probe(said: bytes) -> None:
    with Bus("memory://") as bus, ExitStack() as stack:
        server = HealthServer(HealthPages(Health(bus), Metrics()), "127.0.0.1:0")
        stack.callback(server.stop)
        for _ in range(100):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), PATIENCE))
            client.sendall(said)
        for _ in range(3):
            assert page(server.port, "/healthz") == (200, "alive\n")


def test_readyz_names_what_backs_off() -> None:
    service = Service("failing", backoff=Backoff(after=1))

    @service.on(Blocking)
    def fail(event: Blocking) -> None:
        raise OSError("down")

    with Bus("memory://") as bus:
        health = Health(bus)
        health.is_started = True
        bus.start(service)
        bus.publish(Blocking(seconds=0))
        eventually(lambda: health.unready() == ["blocking/failing: backing off"])
    assert "stopping" in health.unready()
