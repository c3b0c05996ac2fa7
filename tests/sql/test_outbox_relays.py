"""Relays: several of them, late ones, and rows that are held up by nothing but themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus import (
    Service,
)
from eventbus.errors import Rejected
from eventbus.sql import Database, Outbox, metadata
from eventbus.sql.relay_watch import RelayWatch
from eventbus.sql.tables import outbox as table
from eventbus.testing import Harness
from tests.sql.events import Placed, note, rows_of, tables
from tests.waiting import eventually, hub_turns

MakeDatabase = Callable[..., Database]


@pytest.fixture
def database(new_database: MakeDatabase) -> Database:
    made = new_database(metadata, tables)
    return made


@pytest.fixture
def box(database: Database) -> Outbox:
    return Outbox(database, source="orders", receipts=None, keep=600.0)


@pytest.fixture
def harness(box: Outbox) -> Iterator[Harness]:
    with Harness() as made:
        made.bus.attach(box)
        yield made


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """Collect what a database is asked meanwhile."""
    asked: list[str] = []

    def note_one(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", note_one)
    try:
        yield asked
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", note_one)


def place(box: Outbox, *numbers: int, **options: object) -> list[str]:
    def work(connection: Connection) -> list[str]:
        for number in numbers:
            note(connection, number)
        return [box.add(connection, Placed(number=number), **options) for number in numbers]  # type: ignore[arg-type]

    return box.database.transact(work)


def test_another_process_is_heard_by_polling(harness: Harness, box: Outbox, new_database: MakeDatabase) -> None:
    harness.settle()
    with Harness() as elsewhere:
        other = Outbox(new_database(url=box.database.engine.url.render_as_string(hide_password=False)), receipts=None)
        elsewhere.bus.attach(other)
        elsewhere.settle()
        elsewhere.engine.is_down = True  # so that its own relay has no part in it
        place(other, 7)
        elsewhere.advance(0.1)  # until it has tried and given the row back
    harness.advance(15.0)
    assert [event.number for event in harness.published(Placed)] == [7]


def test_several_relays_share_the_rows(database: Database, new_database: MakeDatabase) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    boxes = [Outbox(new_database(url=url), receipts=None, batch=20, poll=0.05) for _ in range(3)]
    harnesses = [Harness() for _ in boxes]
    writer = Outbox(database, receipts=None)
    with Harness() as first:
        first.bus.attach(writer)
        first.settle()
        first.engine.is_down = True
        place(writer, *range(400))
        first.advance(0.1)
    for each, harness in zip(boxes, harnesses, strict=True):
        harness.bus.attach(each)
    eventually(lambda: all(row.published_at for row in rows_of(database, table)), "all rows")
    numbers = [event.number for harness in harnesses for event in harness.published(Placed)]
    for harness in harnesses:
        harness.close()
    assert sorted(numbers) == list(range(400)), "each row once"


def test_a_row_that_the_broker_refuses_holds_up_no_other(harness: Harness, box: Outbox) -> None:
    refused = Placed(number=13)
    send = harness.engine.publish

    def publish(topic: str, body: bytes, *, delay: float, timeout: float) -> None:
        if b"\x0d" in body[-2:]:
            raise Rejected("the broker does not like 13")
        send(topic, body, delay=delay, timeout=timeout)

    harness.engine.publish = publish  # type: ignore[method-assign]
    box.database.transact(lambda connection: box.add(connection, refused))
    place(box, *range(3))
    harness.advance(5.0)
    assert {event.number for event in harness.published(Placed)} == {0, 1, 2}
    (row,) = [each for each in rows_of(box.database, table) if each.published_at is None]
    assert row.error == "the broker does not like 13"
    harness.engine.publish = send  # type: ignore[method-assign]
    harness.advance(61.0)
    assert [event.number for event in harness.published(Placed)][-1] == 13


def test_rows_that_a_relay_took_and_never_published_go_out_later(harness: Harness, box: Outbox) -> None:
    harness.settle()
    with harness.broker_down():
        place(box, 1)
        harness.advance(0.01)
    hold = sa.update(table).values(leased_until=harness.clock.time() + 15.0)  # as a relay that was killed leaves it
    box.database.transact(lambda connection: connection.execute(hold))
    with statements(box.database) as asked:
        harness.advance(10.0)
    assert harness.published(Placed) == []
    assert len(asked) < 100, "its topic failed and has its turn again, and there is nothing to do before the lease ends"
    harness.advance(10.0)
    assert len(harness.published(Placed)) == 1


def test_a_service_with_an_outbox_and_no_handler_is_a_relay(box: Outbox) -> None:
    service = Service("relay")
    service.attach(box)
    with Harness(service) as harness:
        place(box, 1)
        harness.settle()
        assert [event.number for event in harness.published(Placed)] == [1]


def test_a_relay_that_never_has_its_turn_is_told(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    watch = RelayWatch("outbox", lambda: 7, poll=0.1)
    watch.woken()
    eventually(lambda: "its relay has not run" in caplog.text, "the complaint")


def test_the_hub_goes_on_while_the_database_is_slow(database: Database) -> None:
    def work(connection: Connection) -> None:
        if database.is_sqlite:
            slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT count(*) FROM n"
            connection.execute(sa.text(slow))
        else:
            connection.execute(sa.text("SELECT pg_sleep(2)"))

    with hub_turns() as turns:
        database.transact(work)
    assert sum(turns) > 0.1
    assert len(turns) > 10
