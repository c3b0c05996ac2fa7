"""How long the log keeps what is finished, and that nothing goes which somebody still needs."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import gevent

from eventbus import Bus, RetryLater, Service
from tests.sql_engine.worker import Numbered
from tests.waiting import eventually, stays


def _log(file: Path) -> int:
    connection = sqlite3.connect(file)
    try:
        return int(connection.execute("SELECT count(*) FROM eventbus_bus_log").fetchone()[0])
    finally:
        connection.close()


def _service(name: str, seen: list[int]) -> Service:
    service = Service(name)
    service.on(Numbered)(lambda event: seen.append(event.number))
    return service


def test_what_is_finished_goes_and_its_space_comes_back(file: Path, url: str) -> None:
    seen: list[int] = []
    with Bus(f"{url}?retain=0") as bus:
        bus.declare(_service("one", seen))
        bus.publish_all([Numbered(number=number, text="x" * 2000) for number in range(2000)])
        bus.engine.ping(timeout=10)
        full = file.stat().st_size + Path(f"{file}-wal").stat().st_size
        bus.start(_service("one", seen))
        eventually(lambda: _log(file) == 0)

        def pages() -> int:
            connection = sqlite3.connect(file)
            try:
                return int(connection.execute("PRAGMA page_count").fetchone()[0])
            finally:
                connection.close()

        eventually(lambda: pages() < 300)
    assert sorted(seen) == list(range(2000))
    assert file.stat().st_size < full / 3


def test_what_is_young_stays(file: Path, url: str) -> None:
    seen: list[int] = []
    with Bus(f"{url}?retain=1h") as bus:
        bus.start(_service("one", seen))
        bus.publish_all([Numbered(number=number) for number in range(10)])
        eventually(lambda: len(seen) == 10)
        stays(lambda: _log(file) == 10, 1.5)


def test_a_channel_that_nobody_reads_keeps_its_messages(file: Path, url: str) -> None:
    seen: list[int] = []
    with Bus(f"{url}?retain=0") as bus:
        bus.declare(_service("asleep", []))
        bus.start(_service("one", seen))
        bus.publish_all([Numbered(number=number) for number in range(10)])
        eventually(lambda: len(seen) == 10)
        stays(lambda: _log(file) == 10, 2.5)
        assert bus.engine.stats()["numbered"].channels["asleep"].depth == 10


def test_what_waits_for_another_attempt_stays_while_the_rest_goes(file: Path, url: str) -> None:
    seen: list[int] = []
    service = Service("one")

    @service.on(Numbered)
    def handle(event: Numbered) -> None:
        seen.append(event.number)
        if event.number == 3 and seen.count(3) == 1:
            raise RetryLater(after=4.0)

    with Bus(f"{url}?retain=0") as bus:
        bus.start(service)
        bus.publish_all([Numbered(number=number) for number in range(10)])
        eventually(lambda: _log(file) == 1)
        gevent.sleep(0.1)
        eventually(lambda: seen.count(3) == 2)
        eventually(lambda: _log(file) == 0)
