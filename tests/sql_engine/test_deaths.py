"""Processes that are killed: what was confirmed is handled, whoever dies, and the file stays readable."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import sys
from pathlib import Path

import gevent

from eventbus import Bus, Service
from tests.nsqd import Process
from tests.sql_engine.worker import Numbered
from tests.waiting import eventually

SETTINGS = {"EVENTBUS_MESSAGE_TIMEOUT": "1"}


def start(*arguments: str) -> Process:
    """Start a process that publishes or handles."""
    return Process(sys.executable, "-m", "tests.sql_engine.worker", *arguments, environment=SETTINGS)


def kill(process: Process) -> None:
    """End it as a crash does."""
    os.kill(process.process.pid, signal.SIGKILL)
    process.process.wait()
    process.end()


def numbers(ledger: Path) -> list[int]:
    """Return what a ledger holds; a line that a death cut off does not count."""
    return [int(line) for line in ledger.read_bytes().split(b"\n")[:-1]] if ledger.exists() else []


def test_killed_publishers_and_subscribers_lose_nothing_that_was_confirmed(file: Path, url: str, tmp_path: Path) -> None:
    confirmed, handled = tmp_path / "confirmed", tmp_path / "handled"
    chance = random.Random(7)
    with Bus(url) as bus:
        bus.declare(_service())
    subscribers = [start("handle", url, str(handled), "ledger") for _ in range(2)]
    for first in range(0, 8000, 1000):
        publisher = start("publish", url, str(confirmed), str(first), "1000")
        before = len(numbers(confirmed))
        wanted = before + chance.randrange(50, 800)
        eventually(lambda wanted=wanted, publisher=publisher: len(numbers(confirmed)) >= wanted or _ended(publisher))
        victim = chance.randrange(2)
        kill(subscribers[victim])
        kill(publisher)
        subscribers[victim] = start("handle", url, str(handled), "ledger")
    eventually(lambda: set(numbers(confirmed)) <= set(numbers(handled)), "every confirmed event is handled")
    assert len(numbers(confirmed)) > 400
    with Bus(url) as bus:

        def is_drained() -> bool:
            channel = bus.engine.stats()["numbered"].channels["ledger"]
            return channel.depth + channel.in_flight + channel.deferred == 0

        eventually(is_drained)
    for each in subscribers:
        kill(each)
    connection = sqlite3.connect(file)
    assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    connection.close()


def _ended(process: Process) -> bool:
    return process.process.poll() is not None


def _service() -> Service:
    service = Service("ledger")
    service.on(Numbered)(lambda event: None)
    return service


def test_what_a_killed_subscriber_held_comes_again_with_its_attempts_counted(url: str) -> None:
    attempts: list[int] = []
    held = gevent.event.Event()
    service = Service("ledger")

    @service.on(Numbered)
    def handle(event: Numbered, context: object) -> None:
        attempts.append(context.attempt)  # type: ignore[attr-defined]

    with Bus(url) as bus:
        bus.declare(service)
        bus.publish(Numbered(number=1))
    child = os.fork()
    if child == 0:
        dying = Service("ledger")

        @dying.on(Numbered)
        def die(event: Numbered) -> None:
            os._exit(9)

        from eventbus.settings import BusSettings

        with Bus(url, settings=BusSettings(message_timeout=1.0)) as bus:
            bus.start(dying)
            held.wait()
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    with Bus(url) as bus:
        bus.start(service)
        eventually(lambda: attempts == [2])


def test_what_was_confirmed_is_in_the_file_and_the_log_beside_it(file: Path, url: str, tmp_path: Path) -> None:
    """A copy of both, with the log cut off at any place, opens, and lacks only what was written behind that place."""
    with Bus(url) as bus:
        ends = []
        log = Path(f"{file}-wal")
        for number in range(40):
            bus.publish(Numbered(number=number, text="x" * 500))
            ends.append(log.stat().st_size)
        whole, content = log.read_bytes(), file.read_bytes()
    for cut in (*ends[::7], ends[3] - 1, ends[20] - 2000, len(whole)):
        copy = tmp_path / f"copy{cut}.db"
        copy.write_bytes(content)
        Path(f"{copy}-wal").write_bytes(whole[:cut])
        with Bus(f"sqlite:///{copy}") as bus:
            there = bus.engine.stats().get("numbered")
            assert (there.depth if there else 0) == sum(end <= cut for end in ends)
