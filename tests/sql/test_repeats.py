"""Repeats: what the broker lost goes out again soon, what it holds does not."""

from __future__ import annotations

from collections.abc import Callable

from eventbus import Context, Outcome, RetryLater, Service
from eventbus.engines.base import ChannelStats, TopicStats
from eventbus.sql import Database, Inbox, Outbox, Receipts, SqlContext
from eventbus.sql.evidence import Held, Suspects, Waiting, candidates, held
from eventbus.sql.tables import outbox as table
from eventbus.sql.tables import subscribers
from eventbus.testing import Harness
from tests.sql.conftest import Shop
from tests.sql.events import Placed, effects_in, rows_of


def depth(shop: Shop) -> int:
    counts = shop.harness.engine.stats()["placed"].channels["fulfillment"]
    return counts.depth + counts.in_flight + counts.deferred


def test_a_subscriber_that_is_away_for_hours_gets_each_event_once(shop: Shop) -> None:
    shop.start()
    shop.harness.engine.pause("placed", "fulfillment")
    shop.place(*range(20))
    for _ in range(120):
        shop.harness.advance(60.0)
    assert depth(shop) == 20
    shop.harness.engine.resume("placed", "fulfillment")
    shop.harness.advance(10.0)
    assert effects_in(shop.fulfillment) == list(range(20))
    assert shop.inbox.doubles == 0


def test_an_event_that_waits_for_its_next_attempt_is_not_sent_again(shop: Shop) -> None:
    seen: list[int] = []
    service = Service("patient")

    @service.on(Placed, inbox=shop.inbox)
    def later(event: Placed, context: SqlContext) -> None:
        seen.append(context.attempt)
        if context.attempt < 4:
            raise RetryLater(after=600.0)

    shop.harness.start(service)
    shop.harness.bus.attach(shop.outbox)
    shop.harness.advance(1.0)
    shop.place(1)
    for _ in range(40):
        shop.harness.advance(60.0)
    assert seen == [1, 2, 3, 4]
    assert shop.unsettled() == 0


def test_a_lost_tail_is_back_within_seconds_by_default(shop: Shop) -> None:
    shop.outbox = Outbox(shop.orders, source="orders")
    shop.start()
    shop.place(0)
    shop.harness.advance(1.0)
    shop.harness.lose_next(20)
    shop.place(*range(1, 21))
    began = shop.harness.clock.monotonic()
    while len(effects_in(shop.fulfillment)) < 21 and shop.harness.clock.monotonic() < began + 60.0:
        shop.harness.advance(1.0)
    assert shop.harness.clock.monotonic() - began <= 15.0
    assert shop.inbox.doubles == 0


def test_what_could_not_be_sent_is_not_counted_as_sent(shop: Shop) -> None:
    shop.start()
    shop.place(0)
    shop.harness.advance(2.0)
    shop.harness.lose_next(5)
    shop.place(*range(1, 6))
    shop.harness.advance(1.0)
    with shop.harness.broker_down():
        for _ in range(6):
            shop.harness.advance(100.0)
        assert max(row.attempts for row in rows_of(shop.orders, table)) == 1
    for _ in range(4):
        shop.harness.advance(15.0)
    assert effects_in(shop.fulfillment) == list(range(6)), "seconds after the broker's return, not an hour"


def test_a_subscriber_without_events_for_a_year_is_not_forgotten(shop: Shop) -> None:
    shop.start()
    shop.place(1)
    shop.harness.advance(2.0)
    for _ in range(53):
        shop.harness.advance(7 * 86400.0)
    shop.harness.lose_next(1)
    shop.place(2)
    for _ in range(3):
        shop.harness.advance(60.0)
    assert effects_in(shop.fulfillment) == [1, 2]


def test_one_that_comes_back_after_it_was_forgotten_gets_what_it_missed(shop: Shop) -> None:
    shop.outbox = Outbox(shop.orders, source="orders", receipts=Receipts(timeout=30.0, forget_after=300.0), keep=86400.0)
    shop.start()
    shop.place(1)
    shop.harness.advance(2.0)
    shop.orders.transact(lambda connection: connection.execute(subscribers.update().values(seen_at=1.0)))
    shop.harness.lose_next(1)
    shop.place(2)
    shop.harness.advance(35.0)
    for _ in range(4):
        shop.harness.advance(60.0)
    assert effects_in(shop.fulfillment) == [1, 2]


def test_what_a_channel_binds_no_more_is_waited_for_no_more(shop: Shop) -> None:
    shop.start()
    shop.place(1)
    shop.harness.advance(2.0)
    gone = {"topic": "placed", "type": "Gone", "channel": "fulfillment", "since": 0.0, "seen_at": shop.harness.clock.time()}
    shop.orders.transact(lambda connection: connection.execute(subscribers.insert().values(gone)))
    for _ in range(3):
        shop.harness.advance(60.0)
    assert {row.type for row in rows_of(shop.orders, subscribers)} == {"Placed"}


def test_a_channel_that_gave_up_its_inbox_acts_once(shop: Shop) -> None:
    shop.start()
    shop.place(1)
    shop.harness.advance(2.0)
    shop.harness.close()
    seen: list[int] = []
    plain = Service("fulfillment")

    @plain.on(Placed)
    def ship(event: Placed, context: Context) -> None:
        seen.append(event.number)

    with Harness(plain) as harness:
        box = Outbox(shop.orders, source="orders", receipts=Receipts(timeout=30.0))
        harness.bus.attach(box)
        shop.orders.transact(lambda connection: box.add(connection, Placed(number=2)))
        for _ in range(60):
            harness.advance(60.0)
        assert seen == [2]
        assert harness.outcomes(Outcome.SKIPPED) >= 1


def test_rows_belong_to_who_wrote_them_whoever_publishes_them(shop: Shop, new_database: Callable[..., Database]) -> None:
    shop.start()
    other = Outbox(shop.orders, source="billing", receipts=None)
    shop.harness.bus.attach(other)
    shop.harness.advance(1.0)
    for number in range(6):
        shop.harness.lose_next(1)
        shop.place(number)
        other.wake()
        shop.harness.advance(1.0)
    for _ in range(5):
        shop.harness.advance(60.0)
    assert effects_in(shop.fulfillment) == list(range(6))
    assert shop.unsettled() == 0


# -- evidence -------------------------------------------------------------------------------------------------------------


def test_too_few_messages_are_a_loss_of_the_oldest() -> None:
    waiting = [Waiting(number, float(number)) for number in range(10)]
    assert candidates(waiting, 10, Held(10, 0, 0, 0.0), 0.0, 6.0) == []
    assert candidates(waiting, 10, Held(5, 2, 1, 0.0), 0.0, 6.0) == [0, 1, 2]
    assert candidates(waiting, 10, Held(0, 0, 0, 0.0), 0.0, 6.0) == list(range(10))


def test_what_was_overtaken_is_lost_unless_it_may_lag_behind() -> None:
    waiting = [Waiting(1, 100.0), Waiting(2, 101.0)]
    assert candidates(waiting, 2, Held(50, 0, 0, 0.0), 120.0, 6.0) == [1, 2]
    assert candidates(waiting, 2, Held(50, 2, 0, 0.0), 120.0, 6.0) == [], "both may be in a handler's hands"
    assert candidates(waiting, 2, Held(50, 2, 0, 110.0), 120.0, 6.0) == [1, 2], "the broker began anew after them"
    assert candidates(waiting, 2, Held(50, 3, 1, 110.0), 120.0, 6.0) == [], "one waits for another attempt"
    assert candidates(waiting, 2, Held(50, 2, 0, 0.0), 300.0, 6.0) == [1, 2], "no handler runs that long"


def test_one_look_convicts_nobody() -> None:
    suspects = Suspects(confirm=2.0)
    place = ("placed", "fulfillment")
    assert suspects.convict(place, [1, 2, 3], 10.0) == ([], True)
    assert suspects.convict(place, [1, 2, 3], 11.0) == ([], True)
    assert suspects.convict(place, [2, 3, 4], 12.0) == ([2, 3], True)
    assert suspects.convict(place, [], 14.0) == ([], False)
    assert suspects.convict(place, [4], 15.0) == ([], True)


def test_a_vanished_topic_or_channel_holds_nothing() -> None:
    counts = ChannelStats(3, 1, 2, 1, False)
    stats = {"placed": TopicStats(4, {"fulfillment": counts}, False, started=7.0)}
    assert held(stats, "placed", "fulfillment").total == 10
    assert held(stats, "placed", "other").total == 4
    assert held(stats, "gone", "fulfillment").total == 0


def test_inboxes_answer_for_what_they_do_not_handle(shop: Shop) -> None:
    """What a channel binds by half, it answers for in whole: unknown types and expired events."""
    shop.start()
    half = {"topic": "placed", "type": "Placed", "channel": "half", "since": 0.0, "seen_at": shop.harness.clock.time()}
    service = Service("half")
    service.on(_Other, inbox=Inbox(shop.fulfillment))(lambda event: None)
    shop.harness.start(service)
    shop.orders.transact(lambda connection: connection.execute(subscribers.insert().values(half)))
    shop.place(1)
    shop.harness.advance(5.0)
    assert shop.unsettled() == 0


class _Other(Placed, topic="placed", name="Other"):
    pass
