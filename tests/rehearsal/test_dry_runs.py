"""Dry runs: a live worker says what would become of dead letters, and nothing of it stays."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
import sqlalchemy as sa

from eventbus import Backoff, Bus, Context, Event, HandlerDefinitionError, Reject, Retry, Service
from eventbus.rehearsal import asking
from eventbus.rehearsal.asking import rehearse
from eventbus.rehearsal.messages import ANSWERS, QUESTIONS
from eventbus.rehearsal.worker import Rehearsals, channel_for
from eventbus.sql import Database, Inbox, LateInbox, Outbox, SqlContext, metadata
from tests.nsqd import Nsqd
from tests.waiting import eventually


class Bought(Event, topic="bought", version=1):
    number: int


class Noted(Event, topic="noted", version=1):
    number: int


class Shop:
    """A service with a handler of each kind, whose fault can be mended."""

    def __init__(self, url: str, database: Database) -> None:
        self.broken = True
        self.outside: list[int] = []
        self.database = database
        database.create_tables(metadata)
        database.transact(lambda connection: connection.execute(sa.text("CREATE TABLE books (number INTEGER UNIQUE)")))
        self.service = Service("shop", backoff=Backoff(after=0))
        outbox = Outbox(database, source="shop")
        self.service.attach(outbox)
        self.service.on(Bought, inbox=Inbox(database, outbox=outbox), retry=Retry(attempts=1), dry_run=True)(self.note)
        self.bus = Bus(url, source="shop")
        self.bus.attach(Rehearsals())
        self.bus.start(self.service)

    def note(self, event: Bought, context: SqlContext) -> Noted:
        if self.broken and event.number % 2:
            raise LookupError(f"no price for {event.number}")
        context.connection.execute(sa.text("INSERT INTO books VALUES (:number)"), {"number": event.number // 10})
        context.publish(Noted(number=event.number))
        return Noted(number=-event.number)

    def content(self) -> list[Any]:
        return self.database.transact(
            lambda connection: [
                connection.execute(sa.text(f"SELECT * FROM {table}")).all()
                for table in sorted(sa.inspect(connection).get_table_names())
            ]
        )


@pytest.fixture(params=["sqlite", pytest.param("nsqd", marks=pytest.mark.nsqd)])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    nsqd = Nsqd() if request.param == "nsqd" else None
    url = f"sqlite:///{tmp_path}/bus.db" if nsqd is None else f"nsq+direct://{nsqd.tcp}?http={nsqd.http}"
    with Database(f"sqlite:///{tmp_path}/shop.db") as database:
        made = Shop(url, database)
        yield made
        made.bus.stop()
    if nsqd is not None:
        nsqd.end()


def parked(shop: Shop, *numbers: int) -> dict[str, int]:
    """Publish, and return numbers by id once they are parked."""
    ids = {shop.bus.publish(Bought(number=number)): number for number in numbers}
    letters = shop.bus.dead_letters(Bought, shop.service)
    eventually(lambda: letters.count() == len(numbers), "the dead letters")
    eventually(lambda: channel_for("shop") in channels(shop.bus), "the worker that takes questions")
    return ids


def channels(bus: Bus) -> set[str]:
    stats = bus.engine.stats()
    return set(stats[QUESTIONS].channels) if QUESTIONS in stats else set()


def test_verdicts_tell_what_would_pass_and_nothing_stays(shop: Shop) -> None:
    ids = parked(shop, 1, 21, 31, 33)
    letters = shop.bus.dead_letters(Bought, shop.service).list()
    eventually(lambda: shop.bus.is_idle, "rest")
    before = shop.content()
    found = rehearse(shop.bus, letters)
    assert {each.word for each in found.values()} == {"fail"}
    assert {each.reason for each in found.values()} == {"LookupError"}, "and no text that quotes an event"
    assert all((each.place or "").endswith(" in note") for each in found.values())
    shop.broken = False
    found = rehearse(shop.bus, letters)
    assert {ids[id]: each.word for id, each in found.items()} == dict.fromkeys(ids.values(), "pass")
    assert {each.published for each in found.values()} == {("Noted", "Noted")}
    assert shop.content() == before, "databases are as they were"
    assert "noted" not in shop.bus.engine.stats(), "no event left the process"
    assert shop.bus.dead_letters(Bought, shop.service).count() == 4


def test_a_constraint_that_would_break_is_found(shop: Shop) -> None:
    parked(shop, 41)
    shop.broken = False
    shop.database.transact(lambda connection: connection.execute(sa.text("INSERT INTO books VALUES (4)")))
    (verdict,) = rehearse(shop.bus, shop.bus.dead_letters(Bought, shop.service).list()).values()
    assert (verdict.word, verdict.reason) == ("fail", "IntegrityError")


def test_whatever_is_asked_or_answered_by_strangers_stops_nothing(shop: Shop) -> None:
    parked(shop, 1)
    for topic in (QUESTIONS, ANSWERS):
        for body in (b"\x00", b"{}", b"\xc1" * 2000, b'{"specversion": "1.0"}'):
            shop.bus.engine.publish(topic, body, delay=0.0, timeout=5.0)
    assert [each.word for each in rehearse(shop.bus, shop.bus.dead_letters(Bought, shop.service).list()).values()] == [
        "fail"
    ]


def test_what_says_nothing_or_has_no_worker_cannot_be_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with Bus("memory://") as bus:
        bus.attach(Rehearsals())
        service, other = Service("plain"), Service("able")

        @service.on(Bought)
        def refuse(event: Bought) -> None:
            raise Reject("no")

        @other.on(Noted, dry_run=True)
        def fine(event: Noted, context: Context) -> None: ...

        bus.start(service, other)
        bus.publish(Bought(number=1))
        letters = bus.dead_letters(Bought, service)
        eventually(lambda: letters.count() == 1, "the dead letter")
        (verdict,) = rehearse(bus, letters.list(), timeout=0.3).values()
        assert (verdict.word, verdict.reason) == ("cannot", asking.NOBODY)
    with pytest.raises(HandlerDefinitionError, match="dry_run=True needs an inbox"):

        @Service("wrong").on(Bought, dry_run=True)
        def alone(event: Bought) -> None: ...


def test_a_handler_without_an_inbox_sees_that_it_is_tried(tmp_path: Path) -> None:
    with Bus("memory://") as bus, Database(f"sqlite:///{tmp_path}/late.db") as database:
        database.create_tables(metadata)
        bus.attach(Rehearsals())
        seen: list[tuple[str, bool]] = []
        service, late = Service("alone"), Service("late")
        is_broken = True

        @service.on(Bought, dry_run=True, retry=Retry(attempts=1))
        def look(event: Bought, context: Context) -> Noted:
            seen.append(("alone", context.is_dry_run))
            if is_broken:
                raise ValueError
            if event.number == 2:
                bus.publish(Noted(number=1))
            if event.number == 3:
                gevent.sleep(0)
                context.publish(Noted(number=2))
            return Noted(number=event.number)

        outbox = Outbox(database, source="late", receipts=None)
        late.attach(outbox)

        @late.on(Bought, dry_run=True, retry=Retry(attempts=1), inbox=LateInbox(database, outbox=outbox))
        def speak(event: Bought, context: Context) -> Noted:
            seen.append(("late", context.is_dry_run))
            if is_broken:
                raise ValueError
            return Noted(number=event.number)

        bus.start(service, late)
        ids = {bus.publish(Bought(number=number)): number for number in (1, 2, 3)}
        all_letters = [bus.dead_letters(Bought, each) for each in (service, late)]
        eventually(lambda: [each.count() for each in all_letters] == [3, 3], "the dead letters")
        eventually(lambda: len(channels(bus)) == 2, "the workers that take questions")
        is_broken = False
        seen.clear()
        found = rehearse(bus, all_letters[0].list())
        assert {ids[id]: (each.word, each.reason, each.published) for id, each in found.items()} == {
            1: ("pass", "", ("Noted",)),
            2: ("fail", "BusStateError", ()),
            3: ("pass", "", ("Noted", "Noted")),
        }
        assert [each.published for each in rehearse(bus, all_letters[1].list()).values()] == [("Noted",)] * 3
        assert {is_dry for _, is_dry in seen} == {True} and {name for name, _ in seen} == {"alone", "late"}
        assert "noted" not in bus.engine.stats()


def test_the_file_of_a_database_is_the_same_byte_for_byte(shop: Shop, tmp_path: Path) -> None:
    parked(shop, 1, 11)
    shop.broken = False
    eventually(lambda: shop.bus.is_idle, "rest")
    dump = "\n".join(sqlite3.connect(f"{tmp_path}/shop.db").iterdump())
    rehearse(shop.bus, shop.bus.dead_letters(Bought, shop.service).list())
    assert "\n".join(sqlite3.connect(f"{tmp_path}/shop.db").iterdump()) == dump
