"""`eventbus new service`: what it writes runs, passes its own tests, and overwrites nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from eventbus import Bus, Event
from tests.cli.running import Done, Forked, run_command
from tests.nsqd import Nsqd
from tests.waiting import PATIENCE, eventually

ROOT = Path(__file__).parent.parent.parent


class Greeted(Event, topic="greetings", version=1):
    name: str


def new(folder: Path, *words: str) -> Done:
    return run_command("new", "service", *words, folder=folder)


def own_tests(folder: Path, *more: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", *more]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_with_nothing_there_all_of_it_passes(tmp_path: Path) -> None:
    done = new(tmp_path, "shipping")
    assert done.code == 0, done.err
    assert "2 passed" in own_tests(tmp_path)
    lint = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,F,W,I,B", "--line-length", "125", "."]
    assert subprocess.run(lint, cwd=tmp_path, check=False).returncode == 0


@pytest.mark.parametrize("topic", ["orders_placed", "orders_shipped", "email", "orders_rejected", "orders_confirmed"])
def test_a_view_of_each_contract_that_is_there_passes(tmp_path: Path, topic: str) -> None:
    shutil.copytree(ROOT / "contracts", tmp_path / "contracts")
    done = new(tmp_path, "audit", "--reads", topic)
    assert done.code == 0, done.err
    assert "2 passed" in own_tests(tmp_path)
    assert "email:" not in (tmp_path / "audit" / "events.py").read_text(), "personal"


def test_nothing_is_overwritten_and_what_cannot_be_is_told(tmp_path: Path) -> None:
    assert new(tmp_path, "shipping").code == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = new(tmp_path, "shipping")
    assert (again.code, "there already" in again.err) == (2, True)
    for name in ("Shipping", "2nd", "class", "a.b", "x" * 65, "json", "tests"):
        assert new(tmp_path, name).code == 2, name
    assert "no contract of topic 'gone'" in new(tmp_path, "other", "--reads", "gone").err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    shutil.copytree(ROOT / "contracts", tmp_path / "many")
    assert "give --reads with one of: email, orders_confirmed" in new(tmp_path, "other", "--contracts", "many").err


@pytest.mark.nsqd
def test_the_command_of_its_compose_entry_handles_events(
    tmp_path: Path, nsqd: Nsqd, make_bus: Callable[..., Bus], ends: Callable[[Any], Any]
) -> None:
    assert new(tmp_path, "shipping").code == 0
    entry = yaml.safe_load((tmp_path / "compose.shipping.yaml").read_text())["services"]["shipping"]
    program, *words = entry["command"]
    assert program == "eventbus"
    environment = {
        "EVENTBUS_URL": nsqd.url,
        "EVENTBUS_HEALTH_PORT": "0",
        "SHIPPING_DATABASE_URL": f"sqlite:///{tmp_path}/shipping.db",
    }
    ends(Forked("eventbus.cli", *words, cwd=tmp_path, environment=environment))
    make_bus(nsqd.url).publish(Greeted(name="Ada"))
    engine = sa.create_engine(environment["SHIPPING_DATABASE_URL"], poolclass=sa.NullPool)

    def handled() -> int:
        with engine.connect() as connection:
            if not sa.inspect(connection).has_table("shipping_handled"):
                return 0
            return connection.scalar(sa.text("SELECT count(*) FROM shipping_handled")) or 0

    eventually(lambda: handled() == 1, "the event in the service's table")


def test_docker_takes_the_compose_entry(tmp_path: Path) -> None:
    program = shutil.which("docker")
    words = [program or "docker", "compose", "--file", "compose.shipping.yaml", "config", "--format", "json"]
    if program is None or subprocess.run([*words[:2], "version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no docker compose is here")
    assert new(tmp_path, "shipping").code == 0
    environment = {"PATH": str(Path(program).parent), "SHIPPING_DATABASE_URL": "postgresql://shipping@postgres/shipping"}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["services"]["shipping"]
    assert found["environment"]["SHIPPING_DATABASE_URL"] == environment["SHIPPING_DATABASE_URL"]
