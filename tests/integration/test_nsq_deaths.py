"""Processes that are killed and stopped under load. Each test ends with a ledger of ids."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest

from eventbus import Bus
from eventbus.testing.conformance.kit import numbered, unique
from tests.nsqd import Nsqd, Process
from tests.waiting import PATIENCE, eventually

ROOT = Path(__file__).parent.parent.parent


Ends = Callable[[Any], Any]


MakeBus = Callable[..., Bus]


def run_worker(ends: Ends, nsqd: Nsqd, topic: str, notes: Path, seconds: float) -> Process:
    worker: Process = ends(
        Process(sys.executable, "-m", "tests.integration.worker", nsqd.url, topic, str(notes), str(seconds))
    )
    eventually(lambda: notes.exists() and "begin" in notes.read_text())
    return worker


def read_notes(notes: Path) -> tuple[Counter[int], Counter[int]]:
    lines = [line.split() for line in notes.read_text().splitlines()]
    begun = Counter(int(number) for what, number in lines if what == "begin")
    ended = Counter(int(number) for what, number in lines if what == "end")
    return begun, ended


@pytest.fixture
def backlog(nsqd: Nsqd, make_bus: MakeBus) -> tuple[str, int]:
    """A topic with 600 events for the channel of the worker program."""
    topic = unique()
    kind = numbered(topic)
    bus = make_bus(nsqd.url)
    bus.engine.declare(topic, ["worker"])
    bus.publish_all([kind(number=number) for number in range(600)])
    return topic, 600


def test_a_consumer_killed_with_deliveries_in_flight(
    nsqd: Nsqd, ends: Ends, tmp_path: Path, backlog: tuple[str, int]
) -> None:
    """F9: what it held comes again after the message timeout of 10 s; nothing is missing."""
    topic, count = backlog
    notes = tmp_path / "notes"
    worker = run_worker(ends, nsqd, topic, notes, 0.05)
    eventually(lambda: read_notes(notes)[1].total() > 50)
    worker.signal(signal.SIGKILL)
    worker.wait()
    run_worker(ends, nsqd, topic, notes, 0.01)
    eventually(lambda: len(read_notes(notes)[1]) == count)
    _, ended = read_notes(notes)
    assert sum(count - 1 for count in ended.values()) <= 50, "more came twice than was in flight"


def in_flight(nsqd: Nsqd, topic: str) -> int:
    (channel,) = nsqd.get("/stats", format="json", topic=topic)["topics"][0]["channels"]
    return int(channel["in_flight_count"])


def test_sigterm_under_load_handles_nothing_twice_and_leaves_nothing_in_flight(
    nsqd: Nsqd, ends: Ends, tmp_path: Path, backlog: tuple[str, int]
) -> None:
    """F18: three workers one after the other, each ended by SIGTERM in the middle."""
    topic, count = backlog
    notes = tmp_path / "notes"
    for turn in range(3):
        worker = run_worker(ends, nsqd, topic, notes, 0.02)
        eventually(lambda wanted=(turn + 1) * 100: read_notes(notes)[1].total() > wanted)
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0, worker.output()
        eventually(lambda: in_flight(nsqd, topic) == 0)
    run_worker(ends, nsqd, topic, notes, 0.0)
    eventually(lambda: len(read_notes(notes)[1]) == count)
    begun, ended = read_notes(notes)
    assert begun == ended == Counter(range(count))


def test_the_demo_balances_while_nsqd_is_restarted_in_the_middle(nsqd: Nsqd, ends: Ends) -> None:
    # many hundred messages: both restarts come in the first half
    program = (sys.executable, "-m", "demo", "--orders", "60", "--json", "--bus", nsqd.url)
    demo = ends(Process(*program, cwd=ROOT))

    def taken() -> int:
        """Messages that nsqd has taken since it runs."""
        assert demo.process.poll() is None, demo.output()
        return sum(int(each["message_count"]) for each in nsqd.get("/stats", format="json")["topics"])

    for _ in range(2):
        eventually(lambda: taken() > 60)
        nsqd.stop()
        gevent.sleep(0.3)
        nsqd.start()
    assert demo.wait(3 * PATIENCE) == 0, demo.output()
    assert '"lost": 0, "doubled": 0' in demo.output()
