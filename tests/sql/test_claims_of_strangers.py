"""Receipts are claims: what they say is believed only of those who can be who they say."""

from __future__ import annotations

import json
import time

import pytest
import sqlalchemy as sa

from eventbus import NotSent
from eventbus.engines.base import TopicStats
from eventbus.sql import Outbox, Receipts
from eventbus.sql.receipts import MOST_IDS, receipts_given_on
from eventbus.sql.tables import outbox as table
from eventbus.sql.tables import subscribers
from tests.conftest import sqlite_alone
from tests.sql.conftest import Shop
from tests.sql.events import Placed, effects_in, rows_of


def say(shop: Shop, on: str, **data: object) -> None:
    """Write to the receipts of the topic `on` what anybody could write there."""
    envelope = {
        "specversion": "1.0",
        "id": f"forged-{time.monotonic_ns()}",
        "source": "stranger",
        "type": "eventbus.Receipts",
    }
    body = json.dumps({**envelope, "data": data}).encode()
    shop.harness.engine.publish(f"{on}.receipts", body, delay=0.0, timeout=1.0)
    shop.harness.advance(2.0)


def refused(shop: Shop) -> int:
    assert shop.outbox._settling is not None
    return shop.outbox._settling.register.refused


@pytest.fixture
def waiting(shop: Shop) -> list[str]:
    """Ids of events that lie in the broker for a subscriber that is away."""
    shop.start()
    shop.harness.engine.pause("placed", "fulfillment")
    shop.place(1, 2)
    shop.harness.advance(1.0)
    return [row.event_id for row in rows_of(shop.orders, table)]


def test_a_receipt_for_another_topic_than_the_one_it_came_on_changes_nothing(shop: Shop, waiting: list[str]) -> None:
    say(shop, "placed", topic="shipped", channel="fulfillment", since={"Shipped": 0.0}, ids=waiting)
    assert shop.unsettled() == 2
    assert {row.topic for row in rows_of(shop.orders, subscribers)} == {"placed"}
    assert refused(shop) == 1


def test_a_channel_that_the_broker_does_not_have_changes_nothing(shop: Shop) -> None:
    shop.start()
    shop.place(1)
    shop.harness.advance(2.0)
    assert shop.unsettled() == 0
    for number in range(20):
        say(shop, "placed", topic="placed", channel=f"ghost{number}", since={"Placed": 0.0}, ids=[])
    assert shop.unsettled() == 0, "no settled row opens again"
    assert {row.channel for row in rows_of(shop.orders, subscribers)} == {"fulfillment"}
    assert refused(shop) == 20


@pytest.mark.parametrize(
    "data",
    [
        {"topic": "placed", "channel": "x" * 5000, "since": {"Placed": 0.0}, "ids": []},
        {"topic": "placed", "channel": "fulfillment", "since": {f"T{n}": 0.0 for n in range(20_000)}, "ids": []},
        {"topic": "placed", "channel": "fulfillment", "since": {"T" * 5000: 0.0}, "ids": []},
        {"topic": "placed", "channel": "fulfillment", "since": {}, "ids": [str(n) for n in range(MOST_IDS + 1)]},
        {"topic": "placed", "channel": "fulfillment", "since": {"Placed": "yesterday"}, "ids": []},
        {"topic": "placed", "channel": "fulfillment", "since": [], "ids": "all"},
        {"topic": 7, "channel": None, "since": {}, "ids": [1, 2]},
        {},
    ],
)
@sqlite_alone
def test_what_has_no_shape_of_receipts_is_counted_and_changes_nothing(shop: Shop, data: dict[str, object]) -> None:
    shop.start()
    shop.place(0)
    shop.harness.advance(2.0)
    before = rows_of(shop.orders, subscribers)
    say(shop, "placed", **data)
    assert rows_of(shop.orders, subscribers) == before
    assert refused(shop) == 1
    assert shop.harness.dead_letters() == [], "nobody fills the dead letters"
    shop.place(1)
    shop.harness.advance(2.0)
    assert shop.unsettled() == 0, "receipts still come"


def test_a_clock_that_is_ahead_does_not_make_the_origin_wait_for_nobody(shop: Shop) -> None:
    shop.harness.bus.attach(shop.outbox)
    shop.place(0)
    shop.harness.advance(1.0)
    shop.harness.engine.declare("placed", ["fulfillment"])
    shop.harness.engine.pause("placed", "fulfillment")
    ahead = shop.harness.clock.time() + 3600.0
    say(shop, "placed", topic="placed", channel="fulfillment", since={"Placed": ahead}, ids=[])
    shop.place(1)
    shop.harness.advance(100.0)
    assert shop.unsettled() >= 1, "the one that the subscriber has not answered for"


def test_an_expected_channel_is_waited_for_before_it_was_heard_of(shop: Shop) -> None:
    shop.outbox = Outbox(shop.orders, source="orders", receipts=Receipts(timeout=30.0))
    shop.outbox.expect(Placed, ["fulfillment"])
    shop.harness.bus.attach(shop.outbox)
    shop.harness.lose_next(1)
    shop.place(1)
    shop.harness.advance(200.0)
    assert shop.unsettled() == 1
    shop.harness.start(shop.service)
    shop.harness.advance(700.0)
    assert effects_in(shop.fulfillment) == [1]
    assert shop.unsettled() == 0


def test_answers_go_to_the_receipts_of_the_events_own_topic_alone(shop: Shop) -> None:
    shop.harness.start(shop.service)
    for number, target in enumerate(("elsewhere", "shipped.receipts", "placed.fulfillment.dead")):
        body = {
            "specversion": "1.0",
            "id": str(number),
            "source": "s",
            "type": "Placed",
            "receiptto": target,
            "data": {"number": 1},
        }
        shop.harness.engine.publish("placed", json.dumps(body).encode(), delay=0.0, timeout=1.0)
    shop.harness.advance(3.0)
    assert len(effects_in(shop.fulfillment)) == 3
    topics = shop.harness.engine.stats()
    assert {"elsewhere", "shipped.receipts", "placed.fulfillment.dead"} & set(topics) == set()


def test_a_thousand_receipts_write_the_register_once(shop: Shop) -> None:
    shop.start()
    written: list[str] = []

    @sa.event.listens_for(shop.orders._chores, "before_cursor_execute")
    def see(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "eventbus_subscribers" in statement and not statement.lstrip().upper().startswith("SELECT"):
            written.append(statement)

    given = receipts_given_on("placed.receipts")
    written.clear()
    for _ in range(50):
        shop.harness.publish(given(topic="placed", channel="fulfillment", since={}, ids=("unknown",)))
    shop.harness.advance(2.0)
    assert [each for each in written if not each.startswith("UPDATE eventbus_outbox")] == []


def cannot_be_asked() -> dict[str, TopicStats]:
    raise NotSent("the broker is away")


def test_a_stranger_who_speaks_while_the_broker_is_away_waits_until_it_is_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.start()
    shop.place(1)
    shop.harness.advance(60.0)
    with monkeypatch.context() as patched:
        patched.setattr(shop.harness.engine, "stats", cannot_be_asked)
        say(shop, "placed", topic="placed", channel="ghost", since={"Placed": 0.0}, ids=[])
        shop.harness.advance(120.0)
        assert {row.channel for row in rows_of(shop.orders, subscribers)} == {"fulfillment"}
        shop.place(2)
        shop.harness.advance(5.0)
        assert effects_in(shop.fulfillment) == [1, 2]
        assert shop.unsettled() == 0, "whom one knows is believed all the time"
    shop.harness.advance(60.0)
    assert {row.channel for row in rows_of(shop.orders, subscribers)} == {"fulfillment"}
    assert refused(shop) == 1


def test_an_origin_that_starts_while_the_broker_is_away_knows_its_subscribers(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.start()
    shop.place(1)
    shop.harness.advance(5.0)
    register = shop.outbox._settling.register  # type: ignore[union-attr]
    register._known.clear()  # as another process, which shares the database
    register._seen.clear()
    monkeypatch.setattr(shop.harness.engine, "stats", cannot_be_asked)
    shop.place(2)
    shop.harness.advance(5.0)
    assert shop.unsettled() == 0


def test_where_a_broker_never_tells_its_channels_they_are_believed_in_the_end(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shop.harness.engine, "stats", cannot_be_asked)
    shop.start()
    assert rows_of(shop.orders, subscribers) == []
    shop.place(1)
    for _ in range(15):
        shop.harness.advance(60.0)
    assert {row.channel for row in rows_of(shop.orders, subscribers)} == {"fulfillment"}
    assert effects_in(shop.fulfillment) == [1]
