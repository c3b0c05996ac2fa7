"""Replay in steps: each waits for what became of the one before, and the first that fails again ends it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventbus import Backoff, Bus, Event, Retry, Service
from eventbus.engines import open_engine
from eventbus.outcomes import Telling
from eventbus.rehearsal import ramp as ramp_module
from eventbus.rehearsal.ramp import OPERATOR, Step, ramp, somebody
from eventbus.rehearsal.worker import Rehearsals
from eventbus.wire.codec import decode
from tests.cli.running import run_command
from tests.waiting import eventually


class Paid(Event, topic="paid", version=1):
    number: int


class Till:
    """A service that fails until it is mended, and for some events afterwards too."""

    def __init__(self, bus: Bus) -> None:
        self.fails = lambda number: True
        self.bus = bus
        service = Service("till", backoff=Backoff(after=0))

        @service.on(Paid, retry=Retry(attempts=1), concurrency=1)
        def take(event: Paid) -> None:
            if self.fails(event.number):
                raise LookupError(f"no account {event.number}")

        bus.start(service)
        self.letters = bus.dead_letters(Paid, service)

    def park(self, count: int) -> None:
        for number in range(count):
            self.bus.publish(Paid(number=number))
        eventually(lambda: self.letters.count() == count, "the dead letters")


@pytest.fixture(params=["memory", "sqlite"])
def till(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Till]:
    telling = Telling()
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/bus.db"
    with Bus(engine=open_engine(url), source="till", middleware=[telling]) as bus:
        bus.attach(telling)
        yield Till(bus)


def operated(bus: Bus) -> list[Any]:
    got: list[Any] = []
    subscription = bus.engine.subscribe(OPERATOR, "audit", got.extend, max_in_flight=100, message_timeout=60.0)
    eventually(lambda: got, "the operators' events")
    subscription.close()
    return [decode(each.body).data for each in got]


def test_steps_grow_while_all_is_well(till: Till) -> None:
    till.park(130)
    till.fails = lambda number: False
    steps = list(ramp(till.bus, till.letters, by="ops@host"))
    assert steps == [
        Step(1, 1, None, 0, 129),
        Step(10, 10, None, 0, 119),
        Step(100, 100, None, 0, 19),
        Step(19, 19, None, 0, 0),
    ]
    assert till.letters.count() == 0
    told = operated(till.bus)
    assert [each["replayed"] for each in told] == [1, 10, 100, 19]
    assert {(each["by"], each["action"], each["topic"], each["channel"]) for each in told} == {
        ("ops@host", "replay", "paid", "till")
    }


def test_the_first_that_fails_again_ends_it(till: Till) -> None:
    till.park(40)
    assert [step.replayed for step in ramp(till.bus, till.letters, by="x")] == [1], "nothing is mended"
    eventually(lambda: till.letters.count() == 40, "it is parked again")
    till.fails = lambda number: number == 5
    steps = list(ramp(till.bus, till.letters, by="x"))
    assert steps[-1].failed is not None and steps[-1].failed.startswith("LookupError at test_ramp.py:")
    assert "account" not in repr(steps) and len(steps) <= 2
    eventually(lambda: till.letters.count() >= 29, "what failed is parked again")


def test_a_choice_and_a_limit_hold(till: Till) -> None:
    till.park(30)
    till.fails = lambda number: False
    some = {each.id for each in till.letters.list()[:12]}
    steps = list(ramp(till.bus, till.letters, lambda letter: letter.id in some, by="x", most=5))
    assert [step.replayed for step in steps] == [1, 4] and steps[-1].left == 7
    assert till.letters.count() == 25


def test_where_nobody_tells_it_stops_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ramp_module, "_BEFORE", 0.1)
    with Bus("memory://") as bus:
        till = Till(bus)
        till.park(5)
        till.fails = lambda number: False
        assert list(ramp(bus, till.letters, by="x", patience=0.3)) == [Step(1, 0, None, 1, 4)]
        assert "@" in somebody()


def test_the_command_tries_and_climbs(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/bus.db"
    telling = Telling()
    with Bus(url, source="till", middleware=[telling]) as bus:
        bus.attach(telling, Rehearsals())
        till = Till(bus)
        till.park(12)
        words = ("dead", "replay", "paid", "till", "--bus", url, "--wait", "2")

        def run(*more: str) -> Any:
            import gevent

            return gevent.get_hub().threadpool.apply(lambda: run_command(*words, *more, folder=tmp_path))

        done = run("--dry-run")
        assert done.code == 0 and "12 cannot be tried" in done.out and "12 tried, nothing was changed" in done.out
        assert till.letters.count() == 12
        done = run("--ramp")
        assert done.code == 1 and "1 replayed, 0 handled" in done.out and "failed again: LookupError" in done.told
        eventually(lambda: till.letters.count() == 12, "it is parked again")
        till.fails = lambda number: False
        done = run("--dry-run", "--ramp")
        assert (
            done.code == 0 and "10 replayed, 10 handled, 1 left" in done.out and "1 replayed, 1 handled, 0 left" in done.out
        )
        assert run("--ramp").out == "no dead letters to replay\n"
