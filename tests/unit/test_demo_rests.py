"""When the demo stops waiting: when nothing is on its way any more, however long that takes."""

from __future__ import annotations

from pathlib import Path

import gevent
import gevent.event
import pytest

from demo.rest import Rest
from demo.scenario import Scenario
from eventbus import Bus, Event, Service
from eventbus.sql import Database, Inbox, Outbox, metadata
from tests.waiting import eventually


class Stone(Event, topic="stones"):
    number: int


def test_rest_is_reached_when_outbox_broker_and_handlers_have_nothing_left(tmp_path: Path) -> None:
    mine, theirs = Database(f"sqlite:///{tmp_path}/mine.db"), Database(f"sqlite:///{tmp_path}/theirs.db")
    for database in (mine, theirs):
        database.create_tables(metadata)
    goes_on = gevent.event.Event()
    service = Service("quarry")

    @service.on(Stone, inbox=Inbox(theirs))
    def lift(event: Stone) -> None:
        goes_on.wait()

    with Bus("memory://", source="test") as bus:
        outbox = Outbox(mine)
        bus.attach(outbox)
        rest = Rest(bus, ["stones", "quarry"])
        eventually(rest.is_reached, "rest before anything was sent")
        bus.start(service)
        bus.engine.pause("stones", "quarry")  # type: ignore[attr-defined]
        mine.transact(lambda connection: outbox.add(connection, Stone(number=1)))
        eventually(lambda: outbox.backlog().unsettled == 1, "the row at the broker")
        assert not rest.is_reached(), "the broker holds it"
        bus.engine.resume("stones", "quarry")  # type: ignore[attr-defined]
        eventually(lambda: not bus.is_idle, "the handler")
        assert not rest.is_reached(), "its handler runs"
        goes_on.set()
        eventually(rest.is_reached, "rest after the receipt")
        mine.transact(lambda connection: outbox.add(connection, Stone(number=2), delay=3600.0))
        assert not rest.is_reached(), "it goes out in an hour"
    for database in (mine, theirs):
        database.close()


@pytest.mark.parametrize("missing", [0, 1])
def test_the_scenario_ends_when_nothing_can_come_any_more(tmp_path: Path, missing: int) -> None:
    scenario = Scenario("memory://", tmp_path, stock={}, fail_rate=0.0, seed=1)
    try:
        scenario.start()
        ledger = scenario.finish(missing, lambda done: None)
    finally:
        scenario.stop()
    assert (ledger.orders, ledger.is_balanced) == (0, True)
