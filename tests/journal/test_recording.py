"""`eventbus journal` beside a real nsqd, and on buses that keep a log: each event once, whenever it is killed."""

from __future__ import annotations

import random
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventbus import Bus, Service
from eventbus.journal import open_reading
from eventbus.journal.topics import CHANNEL
from eventbus.outcomes.telling import Telling
from tests.journal.events import ORDERS, SHIPMENTS, Placed, Shipped
from tests.journal.recording import Journalist
from tests.nsqd import Nsqd
from tests.waiting import eventually

MakeBus = Callable[..., Bus]
Ends = Callable[[Any], Any]


def reader_of(bus: Bus, topic: str) -> None:
    """Let a service have its channel on a topic."""
    bus.engine.declare(topic, ["reader"])


def published(bus: Bus, count: int) -> list[str]:
    return bus.publish_all([Placed(order_id=f"A{n}") for n in range(count)])


def wait_for(journalist: Journalist, count: int) -> None:
    eventually(lambda: len(journalist.ids()) >= count, f"{count} events in the journal")


def is_journalled(bus: Bus, topic: str) -> bool:
    return CHANNEL in bus.engine.stats()[topic].channels


@pytest.fixture
def nsq_bus(nsqd: Nsqd, make_bus: MakeBus) -> Bus:
    bus = make_bus(nsqd.url)
    reader_of(bus, ORDERS)
    return bus


def test_events_of_all_topics_are_written_those_of_later_ones_too(
    nsq_bus: Bus, nsqd: Nsqd, new_url: Callable[[], str], tmp_path: Path, ends: Ends
) -> None:
    journalist = ends(Journalist(nsqd.url, new_url(), "--bodies", folder=tmp_path))
    eventually(lambda: is_journalled(nsq_bus, ORDERS), "its channel")
    ids = published(nsq_bus, 300)
    reader_of(nsq_bus, SHIPMENTS)
    eventually(lambda: is_journalled(nsq_bus, SHIPMENTS), "its channel on the new topic")
    ids.append(nsq_bus.publish(Shipped(order_id="A1"), subject="A1"))
    wait_for(journalist, len(ids))
    assert sorted(journalist.ids()) == sorted(ids)
    eventually(lambda: nsq_bus.engine.stats()[ORDERS].channels[CHANNEL].depth == 0)
    reading = ends(open_reading(journalist.url))
    (shipped,) = reading.find(subject="A1")
    assert (shipped.id, shipped.topic, shipped.type, shipped.source) == (ids[-1], "journal_shipments", "Shipped", "test")
    assert shipped.body is not None and shipped.size == len(shipped.body)


def test_killed_in_the_middle_of_a_batch_it_has_each_event_once(
    nsq_bus: Bus, nsqd: Nsqd, new_url: Callable[[], str], tmp_path: Path, ends: Ends
) -> None:
    chance = random.Random(22)
    nsq_bus.engine.declare(ORDERS, [CHANNEL])
    journalist = ends(Journalist(nsqd.url, new_url(), folder=tmp_path))
    ids: list[str] = []
    for _ in range(5):
        ids += published(nsq_bus, 2000)
        wait_for(journalist, len(journalist.ids()) + chance.randrange(1, 2000))
        journalist.process.signal(signal.SIGKILL)
        journalist.begin_again()
    wait_for(journalist, len(ids))
    assert sorted(journalist.ids()) == sorted(ids)


def test_what_is_no_event_is_counted_and_passed_over(nsq_bus: Bus, nsqd: Nsqd, tmp_path: Path, ends: Ends) -> None:
    nsq_bus.engine.declare(ORDERS, [CHANNEL])
    for body in (b"\x00", b"{}", b"x" * 900_000, b'{"specversion":"1.0","id":"\\u0000","source":"a","type":"b"}'):
        nsq_bus.engine.publish_foreign(ORDERS, body, timeout=60.0)
    (id,) = published(nsq_bus, 1)
    journalist = ends(Journalist(nsqd.url, f"sqlite:///{tmp_path}/j.db", folder=tmp_path))
    eventually(lambda: journalist.ids() == [id], "the event in the journal")
    eventually(lambda: nsq_bus.engine.stats()[ORDERS].channels[CHANNEL].in_flight == 0)
    journalist.process.signal(signal.SIGTERM)
    assert journalist.process.wait() == 0
    said = journalist.process.output()
    assert "1 events and 0 records written; 0 were there already, 4 were no events" in said
    assert "no events and are not in the journal" in said


def test_topic_whose_first_channel_is_still_to_come_is_left_alone(
    nsq_bus: Bus, nsqd: Nsqd, tmp_path: Path, ends: Ends
) -> None:
    (waiting,) = nsq_bus.publish_all([Shipped(order_id="A1")])
    journalist = ends(Journalist(nsqd.url, f"sqlite:///{tmp_path}/j.db", folder=tmp_path))
    eventually(lambda: "is left alone until a service has its channel" in journalist.process.output())
    assert list(nsq_bus.engine.stats()[SHIPMENTS].channels) == []
    reader_of(nsq_bus, SHIPMENTS)
    eventually(lambda: is_journalled(nsq_bus, SHIPMENTS), "its channel")
    assert nsq_bus.engine.stats()[SHIPMENTS].channels["reader"].depth == 1
    later = nsq_bus.publish(Shipped(order_id="A2"))
    eventually(lambda: journalist.ids() == [later], "the later event alone")
    assert waiting != later


def test_named_topics_alone_are_written(nsq_bus: Bus, nsqd: Nsqd, tmp_path: Path, ends: Ends) -> None:
    reader_of(nsq_bus, SHIPMENTS)
    journalist = ends(Journalist(nsqd.url, f"sqlite:///{tmp_path}/j.db", SHIPMENTS, folder=tmp_path))
    eventually(lambda: is_journalled(nsq_bus, SHIPMENTS), "its channel")
    published(nsq_bus, 1)
    id = nsq_bus.publish(Shipped(order_id="A1"))
    eventually(lambda: journalist.ids() == [id], "the event of the named topic")
    assert not is_journalled(nsq_bus, ORDERS)


def test_log_of_the_bus_is_indexed_and_not_copied(
    new_url: Callable[[], str], make_bus: MakeBus, tmp_path: Path, ends: Ends
) -> None:
    url = new_url()
    bus = make_bus(url)
    reader_of(bus, ORDERS)
    ids = published(bus, 3000)  # before it ever ran
    bus.engine.publish_foreign(ORDERS, b"no event", timeout=60.0)
    journalist = ends(Journalist(url, None, folder=tmp_path))
    wait_for(journalist, 1)
    journalist.process.signal(signal.SIGKILL)
    ids += published(bus, 500)
    journalist.begin_again()
    wait_for(journalist, len(ids))
    assert journalist.ids() == ids
    assert not is_journalled(bus, ORDERS)
    (last,) = ends(open_reading(url)).find(limit=1)
    (lies,) = bus.engine.past(ORDERS, after=0, since=None, until=None, most=9999, most_bytes=2**30)[-1:]  # type: ignore[attr-defined]
    assert last.id == ids[-1] and last.body == lies.body


def test_what_services_tell_is_written_beside_the_events(
    nsq_bus: Bus, nsqd: Nsqd, make_bus: MakeBus, tmp_path: Path, ends: Ends
) -> None:
    journalist = ends(Journalist(nsqd.url, f"sqlite:///{tmp_path}/j.db", folder=tmp_path))
    service = Service("fulfillment")

    @service.on(Placed)
    def ship(event: Placed) -> Shipped:
        return Shipped(order_id=event.order_id)

    telling = Telling()
    bus = ends(Bus(nsqd.url, source="fulfillment", middleware=[telling]))
    reader_of(bus, SHIPMENTS)
    bus.start(service)
    bus.attach(telling)
    eventually(lambda: telling.is_on, "the word that somebody listens")
    eventually(lambda: is_journalled(bus, SHIPMENTS), "its channel")
    id = nsq_bus.publish(Placed(order_id="A1"), subject="A1")
    eventually(lambda: journalist.channels() == ["fulfillment"], "the record of the delivery")
    eventually(lambda: len(journalist.ids()) == 2, "both events")
    chain = ends(open_reading(journalist.url)).chain("A1")
    assert [each.type for each in chain.events] == ["Placed", "Shipped"]
    assert chain.events[1].cause == id == chain.correlation
    assert [(each.outcome, each.service, each.id) for each in chain.records] == [("handled", "fulfillment", id)]


def test_database_that_is_locked_is_waited_for(nsq_bus: Bus, nsqd: Nsqd, tmp_path: Path, ends: Ends) -> None:
    nsq_bus.engine.declare(ORDERS, [CHANNEL])
    journalist = ends(Journalist(nsqd.url, f"sqlite:///{tmp_path}/j.db", folder=tmp_path))
    eventually(lambda: nsq_bus.engine.stats()[ORDERS].channels[CHANNEL].subscribers > 0, "its subscription")
    held = ends(sqlite3.connect(tmp_path / "j.db", isolation_level=None))
    held.execute("BEGIN IMMEDIATE")
    ids = published(nsq_bus, 10)
    eventually(lambda: "the journal waits for its database" in journalist.process.output(), "word of it")
    assert journalist.ids() == []
    held.execute("ROLLBACK")
    wait_for(journalist, len(ids))
    assert sorted(journalist.ids()) == sorted(ids)
