"""A bus that keeps a log is searched without any journal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from eventbus import Bus
from eventbus.journal import log_reading, open_reading
from eventbus.sql import Database
from tests.cli.kit import Shop
from tests.journal.events import ORDERS, Placed, Shipped


@pytest.fixture
def url(new_url: Callable[[], str]) -> str:
    return new_url()


@pytest.fixture
def bus(url: str, make_bus: Callable[..., Bus]) -> Bus:
    made = make_bus(url)
    made.engine.declare(ORDERS, ["reader"])
    return made


def test_newest_events_are_found_those_that_come_later_too(bus: Bus, url: str, ends: Callable[[Any], Any]) -> None:
    ids = [bus.publish(Placed(order_id=f"A{n}"), subject=f"order-{n}") for n in range(20)]
    bus.engine.publish_foreign(ORDERS, b"no event", timeout=60.0)
    reading = ends(open_reading(url))
    assert [each.id for each in reading.find("order-7")] == [ids[7]]
    assert len(reading.find()) == 20
    later = bus.publish(Shipped(order_id="A1"), subject="order-7")
    assert {each.id for each in reading.find(subject="order-7")} == {ids[7], later}
    (event,) = reading.chain(later).events
    assert event.body is not None and event.topic == "journal_shipments"
    assert [each.id for each in reading.past(topic=ORDERS)] == ids


def test_no_more_is_looked_at_than_its_bound(
    bus: Bus, url: str, ends: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_reading, "MOST_INDEXED", 10)
    ids = bus.publish_all([Placed(order_id=f"A{n}") for n in range(2500)])
    reading = ends(open_reading(url))
    assert [each.id for each in reading.past()] == ids[-10:]
    ids += bus.publish_all([Placed(order_id=f"A{n}") for n in range(1500)])
    assert [each.id for each in reading.past()] == ids[-1510:]


def test_nothing_is_written_to_the_bus(bus: Bus, url: str, ends: Callable[[Any], Any]) -> None:
    database = ends(Database(url))

    def tables() -> list[str]:
        names: list[str] = database.read(lambda connection: sorted(sa.inspect(connection).get_table_names()))
        return names

    bus.publish(Placed(order_id="A1"))
    before, there = bus.engine.stats(), tables()
    assert ends(open_reading(url)).find()
    assert bus.engine.stats() == before and tables() == there


def test_command_says_that_it_sees_but_the_newest(bus: Bus, url: str, tmp_path: Path) -> None:
    id = bus.publish(Placed(order_id="A1"))
    done = Shop(tmp_path).run("journal", "show", id, "--bus", url)
    assert done.code == 0 and id in done.out
    assert "no journal is kept there" in done.err
