"""Outbox: what is committed is published, what is rolled back never."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from eventbus import (
    Bus,
    BusStateError,
    ConfigurationError,
    Context,
    EncodeError,
    Event,
    MessageTooLargeError,
    Middleware,
    Service,
)
from eventbus.sql import Database, Outbox, metadata
from eventbus.sql.tables import outbox as table
from eventbus.testing import Harness
from eventbus.wire.envelope import Envelope
from tests.sql.events import Placed, Shipped, effects_in, note, rows_of, tables
from tests.waiting import PATIENCE, eventually

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


def place(box: Outbox, *numbers: int, **options: object) -> list[str]:
    def work(connection: Connection) -> list[str]:
        for number in numbers:
            note(connection, number)
        return [box.add(connection, Placed(number=number), **options) for number in numbers]  # type: ignore[arg-type]

    return box.database.transact(work)


def test_what_is_committed_is_published_in_order(harness: Harness, box: Outbox) -> None:
    seen: list[tuple[int, str]] = []
    service = Service("fulfillment")

    @service.on(Placed, concurrency=1)
    def ship(event: Placed, context: Context) -> None:
        seen.append((event.number, context.event_id))

    harness.start(service)
    ids = place(box, *range(1200))  # more than two rounds of the relay
    harness.settle()
    assert seen == list(zip(range(1200), ids, strict=True))
    assert {envelope.source for envelope in harness.envelopes()} == {"orders"}
    assert box.backlog().waiting == 0


def test_what_is_rolled_back_is_never_published(harness: Harness, box: Outbox) -> None:
    def work(connection: Connection) -> None:
        note(connection, 1)
        box.add(connection, Placed(number=1))
        raise RuntimeError("the order cannot be taken")

    with pytest.raises(RuntimeError):
        box.database.transact(work)
    place(box, 2)
    harness.settle()
    assert [event.number for event in harness.published(Placed)] == [2]
    assert effects_in(box.database) == [2]


def test_the_relay_is_woken_by_the_commit_and_does_not_wait_for_its_poll(harness: Harness, box: Outbox) -> None:
    harness.settle()
    before = harness.clock.monotonic()
    place(box, 1)
    eventually(lambda: len(harness.published(Placed)) == 1, "the event")
    with Session(box.database.engine) as session:  # a session of the program's own
        box.add(session, Placed(number=2))
        session.commit()
    eventually(lambda: len(harness.published(Placed)) == 2, "the event of a session")
    assert harness.clock.monotonic() == before, "virtual time stands still, and so does the poll"


def test_a_broker_that_is_down_for_hours_loses_nothing(
    harness: Harness, box: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    with harness.broker_down():
        place(box, 1, 2, 3)
        harness.advance(3 * 3600.0, timeout=PATIENCE)
        assert box.backlog().waiting == 3
        assert box.backlog().oldest == pytest.approx(3 * 3600.0, abs=1.0)
    harness.advance(20.0)
    assert [event.number for event in harness.published(Placed)] == [1, 2, 3]
    assert box.backlog().waiting == 0
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 <= len(warnings) < 30, "an outage must not fill the log"


def test_delays_wait_in_the_outbox_and_not_in_the_broker(harness: Harness, box: Outbox) -> None:
    place(box, 1, delay=7200.0)
    place(box, 2, deliver_at=datetime.fromtimestamp(harness.clock.time(), UTC) + timedelta(seconds=60))
    place(box, 3)
    harness.advance(59.0)
    assert [event.number for event in harness.published(Placed)] == [3]
    assert box.backlog().delayed == 2
    assert all(stats.depth == (1 if topic == "placed" else 0) for topic, stats in harness.engine.stats().items())
    harness.advance(2.0)
    assert [event.number for event in harness.published(Placed)] == [3, 2]
    harness.settle()
    assert [event.number for event in harness.published(Placed)] == [3, 2, 1]
    assert harness.clock.monotonic() == pytest.approx(7200.0, abs=1.0)


def test_correlation_and_cause_are_kept(harness: Harness, box: Outbox) -> None:
    service = Service("fulfillment")

    @service.on(Shipped)
    def again(event: Shipped, context: Context) -> None:
        place(box, event.number)

    harness.start(service)
    cause = harness.publish(Shipped(number=5))
    harness.settle()
    (envelope,) = [each for each in harness.envelopes() if each.type == "Placed"]
    assert (envelope.correlation_id, envelope.causation_id, envelope.depth, envelope.source) == (
        cause,
        cause,
        1,
        "fulfillment",
    )


def test_the_trace_of_the_caller_is_kept(database: Database) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    class Tracing(Middleware):
        def enqueue(self, topic: str, envelope: Envelope) -> None:
            envelope.traceparent = trace

    seen: list[str | None] = []
    service = Service("fulfillment")

    @service.on(Placed)
    def ship(event: Placed, context: Context) -> None:
        seen.append(context.traceparent)

    with Bus("memory://", middleware=[Tracing()]) as bus:
        box = Outbox(database, receipts=None)
        bus.attach(box)
        bus.start(service)
        place(box, 1)
        eventually(lambda: seen, "the event")
    assert seen == [trace]


def test_the_same_event_object_is_added_once(harness: Harness, box: Outbox) -> None:
    event = Placed(number=1)
    for _ in range(2):
        box.database.transact(lambda connection: box.add(connection, event))
    harness.settle()
    assert len(harness.published(Placed)) == 1


def test_an_event_that_cannot_be_sent_fails_in_the_callers_transaction(harness: Harness, box: Outbox) -> None:
    class Huge(Event, topic="huge"):
        text: str

    for error, event, options in (
        (MessageTooLargeError, Huge(text="x" * 2_000_000), {}),
        (EncodeError, Placed(number=1), {"delay": -1.0}),
        (EncodeError, Placed(number=1), {"deliver_at": datetime(2030, 1, 1)}),
        (EncodeError, Placed(number=2**70), {}),
    ):
        with pytest.raises(error):
            box.database.transact(lambda connection, e=event, o=options: box.add(connection, e, **o))  # type: ignore[misc]
    harness.settle()
    assert rows_of(box.database, table) == []


def test_what_is_old_is_cleared_away(harness: Harness, box: Outbox) -> None:
    place(box, 1, 2)
    harness.settle()
    place(box, 3, delay=5000.0)
    harness.advance(500.0)
    assert len(rows_of(box.database, table)) == 3
    harness.advance(300.0)
    assert [row.published_at for row in rows_of(box.database, table)] == [None]


def test_stopping_publishes_what_is_committed(database: Database) -> None:
    box = Outbox(database, source="orders", poll=60.0)
    harness = Harness()
    harness.bus.attach(box)
    harness.settle()
    place(box, *range(700))
    harness.bus.stop(grace=PATIENCE)  # for as long it goes on publishing
    harness.close()
    assert len(harness.published(Placed)) == 700
    assert all(row.published_at for row in rows_of(database, table))


def test_mistakes_are_named(database: Database, box: Outbox) -> None:
    with pytest.raises(ConfigurationError, match="poll"):
        Outbox(database, poll=0)
    for url in ("nonsense", "mysql://root@localhost/x", "postgresql+asyncpg://root@localhost/x"):
        with pytest.raises(ConfigurationError, match="postgresql"):
            Database(url)
    with pytest.raises(ConfigurationError, match="synchronous"):
        Database("sqlite://", synchronous="MAYBE")


def test_a_unit_of_work_inside_another_is_refused_where_it_would_wait_for_ever(database: Database) -> None:
    with pytest.raises(BusStateError, match="use its connection"):
        database.transact(lambda _: database.transact(lambda _: None))
