"""Services tell of their deliveries while somebody listens, and not otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from eventbus import Bus, Event, Reject, RetryLater, Service
from eventbus.engines import open_engine
from eventbus.outcomes import TOPIC, Record, Telling, listen
from eventbus.outcomes import listening as listening_module
from eventbus.outcomes import telling as telling_module
from eventbus.retry import Retry
from eventbus.sql import Database, Inbox, Outbox, metadata
from tests.nsqd import Nsqd
from tests.waiting import eventually


class Sold(Event, topic="sold", version=3):
    number: int


def shop(name: str = "stock") -> Service:
    service = Service(name)

    @service.on(Sold, retry=Retry(attempts=2, first=0.05, ceiling=0.05))
    def take(event: Sold) -> None:
        if event.number == 1:
            raise ValueError(f"card {event.number}")
        if event.number == 2:
            raise Reject("no such article")
        if event.number == 3:
            raise RetryLater(after=30.0)
        gevent.sleep(0.02)

    return service


@pytest.fixture(params=["memory", "sqlite", pytest.param("nsqd", marks=pytest.mark.nsqd)])
def buses(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Bus, Bus, Telling]]:
    """A bus that tells, another that may listen, and the telling."""
    nsqd = Nsqd() if request.param == "nsqd" else None
    url = {"sqlite": f"sqlite:///{tmp_path}/bus.db", "memory": "memory://"}.get(request.param) or f"nsq+direct://{nsqd.tcp}"  # type: ignore[union-attr]
    telling = Telling()
    engine = open_engine(url)
    other = Bus(engine=engine, source="page") if request.param == "memory" else Bus(url, source="page")
    with Bus(engine=engine, source="shop", middleware=[telling]) as bus:
        bus.attach(telling)
        yield bus, other, telling
        if request.param != "memory":
            other.stop()
    if nsqd is not None:
        nsqd.end()


def by_number(records: list[Record]) -> dict[str | None, list[Record]]:
    found: dict[str | None, list[Record]] = {}
    for each in records:
        found.setdefault(each.subject, []).append(each)
    return found


def test_whoever_listens_hears_each_outcome(buses: tuple[Bus, Bus, Telling]) -> None:
    bus, other, telling = buses
    bus.start(shop().replica("stock-7"))
    got: list[Record] = []
    with_close = listen(other, lambda batch: got.extend(batch.records), "page")
    eventually(lambda: telling.is_on, "the call of a listener")
    for number in range(4):
        bus.publish(Sold(number=number), subject=str(number))
    eventually(lambda: {"handled", "retried", "parked", "postponed"} <= {each.outcome for each in got}, "all outcomes")
    eventually(lambda: len([each for each in got if each.outcome == "parked"]) == 2, "both dead letters")
    told = by_number(got)
    (handled,) = told["0"]
    assert (handled.service, handled.instance, handled.channel) == ("stock", "stock-7", "stock")
    assert (handled.topic, handled.type, handled.version, handled.source) == ("sold", "Sold", 3, "shop")
    assert handled.correlation == handled.id and handled.cause is None and handled.attempt == 1
    assert handled.published is not None and handled.published <= handled.begin + 0.01
    assert handled.end - handled.begin > 0.015
    retried, parked = told["1"]
    assert (retried.outcome, retried.error, retried.attempt) == ("retried", "ValueError", 1)
    assert retried.again is not None and retried.again >= retried.end
    assert retried.place is not None and retried.place.startswith("test_telling.py:") and retried.place.endswith(" in take")
    assert (parked.outcome, parked.error, parked.attempt) == ("parked", "ValueError", 2)
    assert [each.outcome for each in told["2"]] == ["parked"]
    (later,) = told["3"]
    assert later.outcome == "postponed" and later.again is not None and 29 < later.again - later.end < 31
    assert "card" not in repr(got) and "no such article" not in repr(got), "texts quote events"
    with_close.close()


def test_nobody_is_told_while_nobody_listens(buses: tuple[Bus, Bus, Telling], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling_module, "LASTS", 0.5)
    bus, other, telling = buses
    bus.start(shop())
    bus.publish(Sold(number=0))
    eventually(lambda: sum(each.handled for each in bus.dispatchers) == 1, "the event is handled")
    assert TOPIC not in bus.engine.stats() and not telling.wants("settled") and not telling.wants("relayed")
    listening = listen(other, lambda batch: None, "page")
    eventually(lambda: telling.is_on, "the call of a listener")
    listening.close()
    eventually(lambda: not telling.is_on, "an end of the telling, since nobody calls")


def test_rows_of_an_outbox_are_told(buses: tuple[Bus, Bus, Telling], tmp_path: Path) -> None:
    bus, other, telling = buses
    with Database(f"sqlite:///{tmp_path}/shop.db") as mine, Database(f"sqlite:///{tmp_path}/stock.db") as theirs:
        for each in (mine, theirs):
            each.create_tables(metadata)
        outbox = Outbox(mine, source="shop")
        service = Service("stock")
        inbox = Inbox(theirs)

        @service.on(Sold, inbox=inbox)
        def take(event: Sold) -> None: ...

        selling = Service("shop")
        selling.attach(outbox)
        bus.start(selling, service)
        got: list[Record] = []
        listening = listen(other, lambda batch: got.extend(batch.records), "page")
        eventually(lambda: telling.is_on, "the call of a listener")
        mine.transact(lambda connection: outbox.add(connection, Sold(number=7), subject="7"))
        eventually(lambda: {"added", "published", "settled", "handled"} <= {each.outcome for each in got}, "the row's life")
        rows = [each for each in got if each.is_of_row]
        assert {(each.service, each.topic, each.channel, each.attempt, each.subject) for each in rows} == {
            ("shop", "sold", "", 0, "7")
        }
        assert not any(each.topic.endswith(".receipts") for each in got)
        listening.close()
        bus.stop()


def test_under_load_whole_chains_are_told_and_all_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling_module, "_halvings", lambda seen: 2)
    telling = Telling()
    with Bus("memory://", source="shop", middleware=[telling]) as bus:
        bus.attach(telling)
        service = Service("stock")
        second = Service("mail")

        @service.on(Sold, retry=Retry(attempts=1))
        def take(event: Sold) -> None:
            if event.number % 100 == 1:
                raise ValueError

        @second.on(Sold)
        def send(event: Sold) -> None: ...

        bus.start(service, second)
        batches: list[Any] = []
        listening = listen(bus, batches.append, "page")
        eventually(lambda: telling.is_on, "the call of a listener")

        def round_of(first: int) -> None:
            for number in range(first, first + 500):
                bus.publish(Sold(number=number))

        round_of(0)
        eventually(lambda: telling._mask == 3, "one chain in four is told")
        before = len(batches)
        round_of(500)
        eventually(lambda: sum(each.handled for each in bus.dispatchers) >= 1990, "all are handled")
        gevent.sleep(1.2)
        told = [record for batch in batches[before:] for record in batch.records if batch.halvings]
        chains: dict[str, set[str]] = {}
        for each in told:
            if each.outcome == "handled":
                chains.setdefault(each.correlation, set()).add(each.channel)
        assert 60 < len(chains) < 200, "three of four are left out"
        partly = [each for each, channels in chains.items() if len(channels) == 1]
        assert len(partly) <= 5, "a chain is told on all channels or on none, but for those that failed on one"
        parked = {record.id for batch in batches for record in batch.records if record.outcome == "parked"}
        assert len(parked) == 10, "every failure is told"
        listening.close()


def test_what_anybody_publishes_stops_neither_side(buses: tuple[Bus, Bus, Telling]) -> None:
    bus, other, telling = buses
    bus.start(shop())
    got: list[Record] = []
    listening = listen(other, lambda batch: got.extend(batch.records), "page")
    eventually(lambda: telling.is_on, "the call of a listener")
    eventually(lambda: TOPIC in bus.engine.stats(), "the topic of outcomes")
    for body in (b" ", b"\x00", b"{}", b"\xc1" * 1000, b'{"specversion":"1.0"}', b"[" * 10_000):
        bus.engine.publish(TOPIC, body, delay=0.0, timeout=5.0)
        bus.engine.publish(listening_module.CALLS, body, delay=0.0, timeout=5.0)
    eventually(lambda: listening.refused == 6, "what is no batch is refused")
    bus.publish(Sold(number=0), subject="0")
    eventually(lambda: any(each.subject == "0" for each in got), "those that are batches come")
    listening.close()


def test_a_broker_that_refuses_outcomes_holds_up_no_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    telling = Telling()
    with Bus("memory://", source="shop", middleware=[telling]) as bus:
        bus.attach(telling)
        bus.start(shop())
        listening = listen(bus, lambda batch: None, "page")
        eventually(lambda: telling.is_on, "the call of a listener")
        bus.engine.pause(TOPIC)
        monkeypatch.setattr(telling_module, "_MOST", 10)
        for _ in range(500):
            bus.publish(Sold(number=0))
        eventually(lambda: sum(each.handled for each in bus.dispatchers) == 500, "all are handled")
        assert telling.dropped > 400, "what does not fit is dropped, and counted"
        listening.close()
