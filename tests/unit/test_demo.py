"""The demo as a process: its ledger balances, whatever fails, and bad lines stop nobody."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eventbus import Bus
from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent.parent
ORDERS = ROOT / "examples" / "orders.jsonl"


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "demo", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
        check=False,
    )


def ledger(*arguments: str) -> dict[str, Any]:
    done = demo(*arguments, "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_ledger_balances() -> None:
    found = ledger("--orders", "40", "--seed", "7")
    assert (found["orders"], found["confirmed"], found["lost"], found["doubled"]) == (40, 40, 0, 0)
    assert found["shipped"] + found["rejected"] == 40
    assert found["rejected"] > 0
    assert found["mails"] == 40 + found["shipped"], "a confirmation each, and a notice for what was shipped"
    assert {"dead_letters", "retries", "seconds"} <= found.keys()


def test_the_ledger_balances_although_handlers_fail_at_random() -> None:
    found = ledger("--orders", "50", "--fail-rate", "0.35")
    assert (found["lost"], found["doubled"], found["confirmed"]) == (0, 0, 50)
    assert found["retries"] > 50
    assert found["dead_letters"] > 1


def test_the_screen_shows_channels_workers_and_ledger() -> None:
    done = demo("--orders", "20")
    assert done.returncode == 0, done.stderr
    for shown in ("orders_placed/fulfillment", "fulfillment-1", "fulfillment-2", "email/default", "balanced", "20/20"):
        assert shown in done.stdout


def test_orders_come_from_a_file_and_bad_lines_are_named() -> None:
    done = demo("--from", str(ORDERS), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["orders"] == 5
    assert found["bad_lines"] == 3
    for said in ("line 4: no JSON", "line 6: lines.0.quantity", "line 7: email"):
        assert said in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fail-rate", "2"], "--fail-rate"),
        (["--orders", "-5"], "--orders"),
        (["--from", "no-such-file"], "no-such-file"),
        (["--bus", "kafka://x"], "no engine serves 'kafka'"),
    ],
)
def test_wrong_options_end_with_a_line_and_no_traceback(arguments: list[str], said: str) -> None:
    done = demo(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_ledger_balances_although_a_worker_is_killed_while_it_works(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/bus.db"
    found = ledger("--orders", "200", "--bus", url, "--kill")
    assert found["killed"] is True
    assert (found["lost"], found["doubled"], found["confirmed"], found["balanced"]) == (0, 0, 200, True)
    with Bus(url) as bus:
        channel = bus.engine.stats()["orders_placed"].channels["fulfillment"]
    assert channel.timed_out > 0, "it held nothing when it was killed"


def test_nobody_is_killed_on_a_bus_of_one_process() -> None:
    done = demo("--orders", "1", "--kill")
    assert done.returncode == 2
    assert "--kill needs a bus that processes share" in done.stderr
