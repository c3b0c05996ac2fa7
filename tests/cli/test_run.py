from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from eventbus.serving import WebServer
from tests.cli.kit import Shop, events
from tests.nsqd import Nsqd, Process
from tests.ports import free_port
from tests.waiting import PATIENCE, eventually, stays

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


def page(port: int, path: str) -> tuple[int, str]:
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
    except OSError:
        return 0, ""


def metric(port: int, name: str, **labels: str) -> float:
    """Sum of the samples of a name with these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(page(port, "/metrics")[1])
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_a_burst_handles_what_is_there_and_ends(shop: Shop, nsqd: Nsqd) -> None:
    fill(shop, nsqd, range(100, 200))
    done = shop.run("run", "shop:service", "--burst", "--bus", nsqd.url, "--log-format", "json")
    assert done.code == 0, done.err
    assert shop.handled == list(range(100, 200))
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert any("events packed by" in each["event"] for each in lines)


def test_a_burst_on_the_memory_engine_ends_at_once(shop: Shop) -> None:
    done = shop.run("run", "shop:make", "--factory", "--burst", EVENTBUS_URL="memory://")
    assert done.code == 0, done.err
    assert "all that was there is handled" in done.err


def test_it_ends_after_so_many_messages_and_leaves_the_others(shop: Shop, nsqd: Nsqd) -> None:
    fill(shop, nsqd, range(100, 150))
    done = shop.run("run", "shop:service", "--max-messages", "20", "--bus", nsqd.url)
    assert done.code == 0, done.err
    assert len(shop.handled) == 20
    done = shop.run("run", "shop:service", "--burst", "--bus", nsqd.url)
    assert shop.handled == list(range(100, 150))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(shop: Shop, nsqd: Nsqd, ends: Ends, number: int) -> None:
    fill(shop, nsqd, [1], seconds=4.0)
    running: Process = ends(shop.start("run", "shop:service", "--bus", nsqd.url))
    eventually(lambda: "running on" in running.output())
    eventually(lambda: shop.begun == [1])
    running.signal(number)
    assert running.wait() == 0
    assert shop.handled == [1]
    assert "1 handlers finished meanwhile" in running.output()


def test_a_second_signal_ends_at_once(shop: Shop, nsqd: Nsqd, ends: Ends) -> None:
    fill(shop, nsqd, [1], seconds=3600.0)
    running: Process = ends(shop.start("run", "shop:service", "--grace", "3600", "--bus", nsqd.url))
    eventually(lambda: "running on" in running.output())
    eventually(lambda: shop.begun == [1])
    running.signal(signal.SIGTERM)
    eventually(lambda: "stopping" in running.output())
    running.signal(signal.SIGTERM)
    assert running.wait() == 130


def test_workers_share_the_work_and_a_crashed_one_is_started_again(shop: Shop, nsqd: Nsqd, ends: Ends) -> None:
    port = free_port()
    fill(shop, nsqd, [])
    running: Process = ends(
        shop.start("run", "shop:service", "--workers", "2", "--health-port", str(port), EVENTBUS_URL=nsqd.url)
    )
    eventually(lambda: page(port, "/readyz") == (200, "ready\n"))
    fill(shop, nsqd, range(100, 200), seconds=0.05)
    eventually(lambda: len(shop.handled) == 100)
    eventually(lambda: metric(port, "eventbus_deliveries_total", outcome="handled") == 100)
    assert metric(port, "eventbus_deliveries_total", outcome="handled", worker="1") > 10
    assert metric(port, "eventbus_deliveries_total", outcome="handled", worker="2") > 10
    fill(shop, nsqd, [13])
    eventually(lambda: metric(port, "eventbus_worker_crashes_total") >= 2)
    assert page(port, "/healthz") == (200, "alive\n")
    nsqd.post("/channel/empty", topic="shop_placed", channel="shopper")
    eventually(lambda: page(port, "/readyz") == (200, "ready\n"))
    assert "ended with exit code 9" in running.output()
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    assert nsqd.get("/stats", format="json")["topics"][0]["channels"][0]["client_count"] == 0


def test_workers_end_when_their_supervisor_is_killed(shop: Shop, nsqd: Nsqd, ends: Ends) -> None:
    fill(shop, nsqd, [])
    running: Process = ends(shop.start("run", "shop:service", "--workers", "2", "--bus", nsqd.url))

    def clients() -> int:
        topics = nsqd.get("/stats", format="json")["topics"]
        return sum(each["client_count"] for topic in topics for each in topic["channels"])

    eventually(lambda: clients() == 2)
    running.signal(signal.SIGKILL)
    eventually(lambda: clients() == 0)


def test_ctrl_c_in_a_terminal_reaches_each_worker_once(shop: Shop, nsqd: Nsqd) -> None:
    fill(shop, nsqd, [1, 2], seconds=4.0)
    with (shop.folder / "log").open("wb") as log:
        running = subprocess.Popen(
            shop.command("run", "shop:service", "--workers", "2", "--bus", nsqd.url),
            cwd=shop.folder,
            env={**os.environ, **shop.environment},
            stderr=log,
            start_new_session=True,
        )
    eventually(lambda: (shop.folder / "log").read_text().count("running on") == 2)
    eventually(lambda: shop.begun == [1, 2])
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does it: all of the group
    assert running.wait(PATIENCE) == 0
    assert shop.handled == [1, 2]


def test_reload_starts_anew_when_a_file_changes_and_survives_a_mistake(shop: Shop, nsqd: Nsqd, ends: Ends) -> None:
    fill(shop, nsqd, [])
    running: Process = ends(shop.start("run", "shop:service", "--reload", "--bus", nsqd.url))
    eventually(lambda: "running on" in running.output())
    eventually(lambda: "watching" in running.output())
    good = shop.module.read_text()
    for patience in range(2, 60):  # it says so before the kernel watches; each write starts it anew
        shop.module.write_text(good + "\nthis is no Python\n")
        with suppress(AssertionError):
            eventually(lambda: "SyntaxError" in running.output(), timeout=patience)
            break
    eventually(lambda: "waiting for a change" in running.output())
    shop.module.write_text(good.replace('file.write(f"{event.number}', 'file.write(f"{event.number + 1000}'))
    eventually(lambda: running.output().count("running on") == 2)
    fill(shop, nsqd, [5])
    eventually(lambda: shop.handled == [1005])
    running.signal(signal.SIGTERM)
    assert running.wait() == 0


def test_a_handler_that_blocks_makes_the_process_unready_and_is_named(shop: Shop, nsqd: Nsqd, ends: Ends) -> None:
    port = free_port()
    fill(shop, nsqd, [])
    patience = {"EVENTBUS_MESSAGE_TIMEOUT": "60"}  # longer than it blocks: what is not touched comes again
    running: Process = ends(
        shop.start(
            "run", "shop:service", "--health-port", str(port), "--log-format", "json", EVENTBUS_URL=nsqd.url, **patience
        )
    )
    eventually(lambda: page(port, "/readyz")[0] == 200)
    fill(shop, nsqd, [1], seconds=-10.0)
    eventually(lambda: page(port, "/readyz")[0] == 503 and "shop_placed" in page(port, "/readyz")[1])
    assert "the hub is blocked for" in page(port, "/readyz")[1]
    assert page(port, "/metrics")[0] == 200
    eventually(lambda: page(port, "/readyz")[0] == 200)
    assert metric(port, "eventbus_hub_blocked_seconds_count", channel="shopper") == 1
    told = [json.loads(line) for line in running.output().splitlines() if "blocks the hub" in line]
    told = [each for each in told if "handler handle of shop_placed" in each["event"]]
    assert len(told) == 1
    assert "shop.py" in told[0]["event"]
    running.signal(signal.SIGTERM)
    assert running.wait() == 0


def test_a_poison_event_does_not_stop_the_worker_and_is_logged_once(shop: Shop, nsqd: Nsqd) -> None:
    fill(shop, nsqd, [666, -5, 7])
    done = shop.run("run", "shop:service", "--burst", "--log-format", "json", EVENTBUS_URL=nsqd.url)
    assert done.code == 0
    outcomes = [json.loads(line).get("outcome") for line in done.err.splitlines()]
    assert outcomes.count("parked") >= 1
    assert shop.handled == [7]


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
