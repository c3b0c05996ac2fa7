"""eventbus run: what it tells, and what it says of mistakes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventbus.serving import WebServer
from tests.cli.kit import Shop, events
from tests.nsqd import Nsqd, Process
from tests.waiting import eventually, stays

Ends = Callable[[Any], Any]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def fill(shop: Shop, nsqd: Nsqd, numbers: range | list[int], seconds: float = 0.0) -> None:
    assert shop.run("declare", "shop:service", "--bus", nsqd.url).code == 0
    done = shop.run(
        "publish", "shop_placed", "-", "--event", "shop:Placed", "--bus", nsqd.url, given=events(list(numbers), seconds)
    )
    assert done.code == 0, done.err


def test_traces_are_sent_where_opentelemetrys_variables_say(shop: Shop, nsqd: Nsqd, ends: Ends) -> None:
    got: list[tuple[str, bytes]] = []

    def collect(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        got.append((environ["PATH_INFO"], environ["wsgi.input"].read()))
        start_response("200 OK", [])
        return [b""]

    collector = WebServer(collect)
    collector.start()
    fill(shop, nsqd, [7])
    process: Process = ends(
        shop.start("run", "shop:service", "--burst", EVENTBUS_URL=nsqd.url, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    )
    assert process.wait() == 0
    collector.stop(1.0)
    assert {path for path, _ in got} == {"/v1/traces"}
    sent = b"".join(body for _, body in got)
    assert b"process shop_placed" in sent
    assert b"shopper" in sent


def test_every_flag_has_its_variable(shop: Shop, nsqd: Nsqd) -> None:
    fill(shop, nsqd, range(100, 110))
    done = shop.run(
        *("run", "shop:make"),
        EVENTBUS_URL=nsqd.url,
        EVENTBUS_FACTORY="1",
        EVENTBUS_BURST="1",
        EVENTBUS_CONCURRENCY="3",
        EVENTBUS_GRACE="1",
        EVENTBUS_LOG_FORMAT="json",
        EVENTBUS_LOG_LEVEL="warning",
        EVENTBUS_APP_DIR=str(shop.folder),
    )
    assert (done.code, done.told) == (0, "")
    assert shop.handled == list(range(100, 110))
    done = shop.run("run", "shop:service", EVENTBUS_URL=nsqd.url, EVENTBUS_WORKERS="none")
    assert done.code == 2
    assert "EVENTBUS_WORKERS" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nowhere:service",), 2, "nowhere: no such module here"),
        (("shop",), 2, "write module:attribute"),
        (("shop:servise",), 2, "did you mean service?"),
        (("shop:number",), 2, "is int and no eventbus.Service"),
        (("shop:make",), 2, "add --factory"),
        (("shop:service", "--factory"), 2, "cannot be called"),
        (("broken:service",), 2, "ZeroDivisionError: division by zero"),
        (("misspelled:service",), 2, "No module named 'jsn'"),
        (("shop:service", "--app-dir", "nowhere"), 2, "no such folder"),
        (("shop:service", "--bus", "carrier-pigeon://home"), 2, "no engine serves"),
        (("shop:service", "--bus", "nsq+direct://127.0.0.1:1", "--wait", "0.5"), 3, "no nsqd can be reached"),
        (("shop:service", "--bus", "nsq://127.0.0.1:1", "--wait", "0"), 3, "no nsqlookupd answers"),
        (("shop:service", "--log-level", "loud"), 2, "log level 'loud'"),
        (("shop:service", "--workers", "2", "--bus", "nsq+direct://127.0.0.1:1", "--wait", "0"), 3, "cannot start"),
    ],
)
def test_mistakes_are_told_in_a_line(shop: Shop, arguments: tuple[str, ...], code: int, words: str) -> None:
    (shop.folder / "broken.py").write_text("def work():\n    return 1 / 0\n\nwork()\n")
    (shop.folder / "misspelled.py").write_text("import jsn\n")
    done = shop.run("run", *arguments, EVENTBUS_URL="memory://")
    assert (done.code, words in done.err) == (code, True), done
    assert "eventbus/" not in done.err


def test_a_port_that_is_taken_is_told(shop: Shop) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        for workers in ((), ("--workers", "2")):
            done = shop.run("run", "shop:service", "--health-port", str(listener.getsockname()[1]), *workers)
            assert done.code == 2
            assert "give another" in done.err


def test_a_mistake_in_the_users_code_names_its_line(shop: Shop) -> None:
    (shop.folder / "broken.py").write_text("def work():\n    return 1 / 0\n\nwork()\n")
    done = shop.run("run", "broken:service")
    assert "broken.py, line 2" in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_it_waits_for_a_broker_that_comes_later(shop: Shop, nsqd: Nsqd, ends: Ends) -> None:
    fill(shop, nsqd, [5])
    nsqd.stop()
    running: Process = ends(shop.start("run", "shop:service", "--burst", "--wait", "3600", EVENTBUS_URL=nsqd.url))
    eventually(lambda: "tried again" in running.output())
    stays(lambda: running.process.poll() is None, 0.5)
    nsqd.start()
    assert running.wait() == 0
    assert shop.handled == [5]
