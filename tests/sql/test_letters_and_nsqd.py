"""Dead letters of handlers with an inbox are as safe as their database: a real nsqd is killed with all that it holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from eventbus import Bus, Reject, Service
from eventbus.errors import EventBusError
from eventbus.sql import Database, Inbox, SqlContext, metadata, parked
from tests.nsqd import Nsqd
from tests.sql.events import Placed
from tests.waiting import eventually


@pytest.mark.nsqd
def test_dead_letters_come_back_after_a_killed_nsqd(
    new_database: Callable[..., Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parked, "_LOOK_EVERY", 0.5)
    database = new_database(metadata)
    nsqd = Nsqd()
    url = f"nsq+direct://{nsqd.tcp}"

    def run() -> Bus:
        service = Service("picky")

        @service.on(Placed, inbox=Inbox(database))
        def refuse(event: Placed, context: SqlContext) -> None:
            raise Reject("no")

        bus = Bus(url, source="shop")
        bus.start(service)
        return bus

    def letters(bus: Bus) -> int:
        try:
            return len({each.id for each in bus.dead_letters("placed", "picky").list()})
        except EventBusError:  # nothing of that name, or nsqd is not there again
            return 0

    try:
        first = run()
        for number in range(5):
            first.publish(Placed(number=number))
        eventually(lambda: letters(first) == 5, "five dead letters")
        first.stop()
        nsqd.kill()
        nsqd.start()
        with Bus(url, source="look") as looking:
            assert letters(looking) == 0, "the broker has none of them any more"
        second = run()
        eventually(lambda: letters(second) == 5, "all five again, from the database")
        second.stop()
    finally:
        nsqd.end()
