"""A running system moves from sqlite:// to nsq:// by the steps of docs/guides/which-engine.md: none lost, none doubled."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.nsqd import Nsqd, Process
from tests.sql_engine.moving import effects
from tests.waiting import eventually

ROOT = Path(__file__).parent.parent.parent
SERVICE = ("tests.sql_engine.moving:build", "--factory")


class System:
    """Its processes, its database and the publisher's ledger."""

    def __init__(self, folder: Path, ends: ExitStack) -> None:
        self._ends = ends
        self._ledger = folder / "ledger"
        self._database = f"sqlite:///{folder}/depot.db"
        self._engine = sa.create_engine(self._database)

    def begin(self, bus: str, *command: str) -> Process:
        """Start a program on a bus."""
        environment = {"EVENTBUS_URL": bus, "MOVING_DATABASE": self._database, "EVENTBUS_SOURCE": "shop"}
        made = Process(sys.executable, "-m", *command, cwd=ROOT, environment=environment)
        self._ends.callback(made.end)
        return made

    def eventbus(self, bus: str, *arguments: str) -> str:
        """Run a command to its end and return what it says."""
        process = self.begin(bus, "eventbus.cli", *arguments)
        assert process.wait() == 0, process.output()
        return process.output()

    def serve(self, bus: str) -> Process:
        return self.begin(bus, "eventbus.cli", "run", *SERVICE, "--log-level", "warning")

    def publish(self, bus: str) -> Process:
        return self.begin(bus, "tests.sql_engine.moving", str(self._ledger))

    def confirmed(self) -> list[int]:
        return [int(line) for line in self._ledger.read_text().split()] if self._ledger.exists() else []

    def effects(self) -> list[int]:
        with self._engine.connect() as connection:
            if not sa.inspect(connection).has_table("effects"):
                return []
            return sorted(connection.scalars(sa.select(effects.c.number)))

    def is_drained(self, bus: str) -> bool:
        """Whether nothing waits on the channel, nothing is at work and nothing is put off."""
        (topic,) = [
            each for each in json.loads(self.eventbus(bus, "topics", "placed", "--json")) if each["topic"] == "placed"
        ]
        (channel,) = [each for each in topic["channels"] if each["channel"] == "depot"]
        return not channel["depth"] and not channel["in_flight"] and not channel["deferred"]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with ExitStack() as ends:
        yield System(tmp_path, ends)


def _stop(process: Process) -> None:
    process.signal(signal.SIGTERM)
    assert process.wait() == 0, process.output()


@pytest.mark.nsqd
def test_a_running_system_moves_from_a_file_to_nsqd(system: System, url: str) -> None:
    nsqd = Nsqd()
    try:
        system.eventbus(url, "declare", *SERVICE)
        publisher, old = system.publish(url), system.serve(url)
        eventually(lambda: len(system.effects()) > 100, "the old bus carries events")

        system.eventbus(nsqd.url, "declare", *SERVICE)
        new = system.serve(nsqd.url)
        _stop(publisher)
        before = len(system.confirmed())
        publisher = system.publish(nsqd.url)
        eventually(lambda: system.is_drained(url), "nothing is left on the old bus")
        _stop(old)

        eventually(lambda: len(system.confirmed()) > before + 100, "the new bus carries events")
        _stop(publisher)
        eventually(lambda: len(system.effects()) >= len(system.confirmed()))
        _stop(new)
        assert system.effects() == system.confirmed(), "an event was lost, or has its effect twice"
    finally:
        nsqd.end()
