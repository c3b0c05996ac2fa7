from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.kit import Shop, events
from tests.nsqd import Nsqd, Process
from tests.ports import free_port
from tests.waiting import PATIENCE, eventually

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
