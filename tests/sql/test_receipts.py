"""Receipts: what the broker confirmed and lost is sent again, to those alone who miss it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import sqlalchemy as sa

from eventbus import ConfigurationError, Event, InvalidNameError, Outcome, Reject, Service
from eventbus.sql import Database, Inbox, Outbox, Receipts, SqlContext, metadata
from eventbus.sql.administration import forget
from eventbus.sql.tables import outbox as table
from eventbus.sql.tables import receipts_due, subscribers
from eventbus.testing import Harness
from tests.sql.conftest import Shop
from tests.sql.events import Placed, effects_in, note, rows_of, tables
from tests.waiting import PATIENCE


def test_a_row_is_settled_when_the_effect_is_committed(shop: Shop) -> None:
    shop.start()
    shop.place(*range(20))
    shop.harness.settle()
    shop.harness.advance(1.0)
    assert effects_in(shop.fulfillment) == list(range(20))
    assert all(row.settled_at for row in rows_of(shop.orders, table))
    assert rows_of(shop.fulfillment, receipts_due) == []
    receipts = shop.harness.bus.dispatchers
    (listener,) = [each for each in receipts if each.topic == "placed.receipts"]
    assert listener.handled <= 5, "receipts travel in batches"


def test_what_the_broker_lost_is_sent_again(shop: Shop) -> None:
    shop.start()
    shop.harness.lose_next(3)
    shop.place(*range(10))
    shop.harness.advance(1.0)
    assert len(effects_in(shop.fulfillment)) == 7
    assert shop.unsettled() == 3
    shop.harness.settle()
    assert shop.harness.clock.monotonic() >= 31.0, "after the timeout of 30 s"
    assert effects_in(shop.fulfillment) == list(range(10))
    shop.harness.advance(5.0)
    assert shop.unsettled() == 0


def test_it_is_sent_again_with_growing_pauses_until_it_arrives(shop: Shop) -> None:
    shop.start()
    shop.harness.lose_next(1)
    shop.place(1)
    shop.harness.advance(1.0)
    lost = 1
    instants = []
    while not effects_in(shop.fulfillment):
        before = rows_of(shop.orders, table)[0].attempts
        if lost < 4:
            shop.harness.engine.losses = 1
        shop.harness.advance(5.0)
        if rows_of(shop.orders, table)[0].attempts > before:
            instants.append(shop.harness.clock.monotonic())
            lost += 1
    pauses = [later - earlier for earlier, later in pairwise(instants)]
    assert len(pauses) >= 2
    assert all(later > 1.5 * earlier for earlier, later in pairwise(pauses))


def test_only_the_channel_that_misses_it_gets_it_again(shop: Shop, new_database: Callable[..., Database]) -> None:
    mails = new_database(metadata, tables)
    plain_seen: list[int] = []
    second, plain = Service("email"), Service("plain")

    @second.on(Placed, inbox=Inbox(mails))
    def send(event: Placed, context: SqlContext) -> None:
        note(context.connection, event.number)

    @plain.on(Placed)  # keeps no inbox: nobody waits for it, and it gets nothing twice
    def look(event: Placed) -> None:
        plain_seen.append(event.number)

    shop.harness.start(second, plain)
    shop.start()
    shop.harness.engine.pause("placed", "email")
    shop.place(1, 2)
    shop.harness.advance(1.0)
    shop.harness.engine.empty("placed", "email")  # as when that channel's queue is lost
    shop.harness.engine.resume("placed", "email")
    shop.harness.advance(2.0)
    assert (effects_in(shop.fulfillment), effects_in(mails), plain_seen) == ([1, 2], [], [1, 2])
    shop.harness.advance(40.0)
    assert (effects_in(shop.fulfillment), effects_in(mails), plain_seen) == ([1, 2], [1, 2], [1, 2])
    assert shop.inbox.doubles == 0
    assert shop.harness.outcomes(Outcome.SKIPPED, by="plain") == 2
    shop.harness.advance(5.0)
    assert shop.unsettled() == 0


def test_a_lost_receipt_costs_a_harmless_double(shop: Shop) -> None:
    shop.start()
    shop.place(0)
    shop.harness.advance(2.0)
    shop.harness.engine.pause("placed.receipts", "orders")
    shop.place(1)
    shop.harness.advance(2.0)
    shop.harness.engine.empty("placed.receipts", "orders")
    shop.harness.engine.resume("placed.receipts", "orders")
    shop.harness.advance(45.0)
    assert effects_in(shop.fulfillment) == [0, 1]
    assert shop.inbox.doubles == 1
    assert shop.unsettled() == 0


def test_a_dead_letter_counts_as_an_answer(shop: Shop) -> None:
    service = Service("picky")

    @service.on(Placed, inbox=shop.inbox)
    def reject(event: Placed) -> None:
        raise Reject("never")

    shop.harness.start(service)
    shop.start()
    shop.place(1)
    shop.harness.advance(5.0)
    assert shop.unsettled() == 0
    shop.harness.advance(3600.0)
    assert len(shop.harness.dead_letters(service)) == 1


def test_a_channel_that_is_heard_of_late_gets_what_was_lost(shop: Shop) -> None:
    # the broker loses the first event and the channel's own introduction with it
    shop.harness.start(shop.service)
    shop.harness.advance(1.0)
    shop.harness.engine.empty("placed.receipts")
    shop.harness.bus.attach(shop.outbox)
    shop.harness.lose_next(1)
    shop.place(1)
    shop.harness.advance(35.0)
    assert shop.unsettled() == 0, "nobody is known to wait for"
    for _ in range(3):
        shop.harness.advance(60.0)  # it says once a minute that it is there, whether events come or not
    assert effects_in(shop.fulfillment) == [1]


def test_a_channel_that_came_later_is_not_waited_for(shop: Shop) -> None:
    shop.harness.bus.attach(shop.outbox)
    shop.place(1)
    shop.harness.advance(60.0)
    shop.harness.start(shop.service)  # takes what the topic kept for its first channel
    shop.place(2)
    shop.harness.advance(3.0)
    assert effects_in(shop.fulfillment) == [1, 2]
    assert shop.unsettled() == 0


def test_a_channel_that_is_gone_is_forgotten(shop: Shop) -> None:
    shop.outbox = Outbox(shop.orders, source="orders", receipts=Receipts(timeout=30.0, forget_after=3600.0))
    shop.start()
    shop.outbox.forget("placed", "fulfillment")
    assert rows_of(shop.orders, subscribers) == []
    ghost = {"topic": "placed", "type": "Placed", "channel": "ghost", "since": 0.0, "seen_at": shop.harness.clock.time()}
    shop.orders.transact(lambda connection: connection.execute(sa.insert(subscribers).values(ghost)))
    shop.place(1)
    shop.harness.advance(60.0)
    assert shop.unsettled() == 1, "the ghost does not answer"
    shop.harness.advance(2 * 3600.0, timeout=PATIENCE)
    shop.harness.advance(2 * 3600.0, timeout=PATIENCE)
    assert shop.unsettled() == 0


def test_what_waited_for_a_forgotten_channel_alone_is_settled_at_once(shop: Shop) -> None:
    shop.start()
    now = shop.harness.clock.time()
    ghosts = [
        {"topic": "placed", "type": "Placed", "channel": each, "since": now, "seen_at": now} for each in ("ghost", "away")
    ]
    shop.orders.transact(lambda connection: connection.execute(sa.insert(subscribers), ghosts))
    shop.place(*range(3))
    for _ in range(30):
        shop.harness.advance(60.0)  # by now the pauses are long
    assert shop.unsettled() == 3
    before = rows_of(shop.orders, table)
    assert min(row.next_at for row in before) > shop.harness.clock.time() + 60.0
    assert forget(shop.orders, "placed", "ghost") == 1  # as the command does, beside the service
    assert [row.next_at for row in rows_of(shop.orders, table)] == [row.next_at for row in before], "one is still missing"
    assert forget(shop.orders, "placed", "away") == 1
    shop.harness.advance(20.0)
    assert shop.unsettled() == 0
    assert [row.attempts for row in rows_of(shop.orders, table)] == [row.attempts for row in before], "sent to nobody again"
    shop.orders.transact(lambda connection: connection.execute(sa.insert(subscribers), ghosts[:1]))
    shop.place(4)
    shop.harness.advance(1800.0)
    assert shop.unsettled() == 1
    shop.outbox.forget("placed", "ghost")  # in the service itself not even that long
    shop.harness.advance(1.0)
    assert shop.unsettled() == 0


def test_expired_events_are_not_sent_again(shop: Shop) -> None:
    shop.start()
    shop.harness.lose_next(1)
    shop.place(1, expires_in=10.0)
    shop.harness.advance(60.0)
    assert effects_in(shop.fulfillment) == []
    assert shop.unsettled() == 0


def test_receipts_can_be_turned_off(shop: Shop) -> None:
    shop.outbox = Outbox(shop.orders, source="orders", receipts=None)
    shop.start()
    shop.place(1)
    shop.harness.settle()
    assert rows_of(shop.fulfillment, receipts_due) == []
    assert all(row.settled_at for row in rows_of(shop.orders, table))
    assert "placed.receipts" not in {each.topic for each in shop.harness.bus.dispatchers}


def test_rows_from_a_time_without_receipts_wait_for_none(shop: Shop) -> None:
    before = Outbox(shop.orders, source="orders", receipts=None)
    with Harness() as earlier:
        earlier.bus.attach(before)
        with earlier.broker_down():
            shop.orders.transact(lambda connection: before.add(connection, Placed(number=1)))
            earlier.advance(0.01)
    shop.start()
    shop.harness.advance(20.0)  # also past the lease of the relay that ended
    assert effects_in(shop.fulfillment) == [1]
    assert shop.unsettled() == 0
    assert [row.attempts for row in rows_of(shop.orders, table)] == [1]


def test_unfinished_business_survives_a_restart(shop: Shop) -> None:
    shop.start()
    shop.harness.lose_next(1)
    shop.place(1)
    shop.harness.advance(1.0)
    shop.harness.close()
    service = Service("fulfillment")
    service.on(Placed, inbox=Inbox(shop.fulfillment, outbox=Outbox(shop.fulfillment)))(shop.ship)
    with Harness(service) as harness:
        harness.bus.attach(Outbox(shop.orders, source="orders", receipts=Receipts(timeout=30.0)))
        harness.advance(40.0)
        assert effects_in(shop.fulfillment) == [1]


def test_mistakes_are_named(shop: Shop) -> None:
    with pytest.raises(ConfigurationError, match="timeout"):
        Receipts(timeout=-1.0)

    class Long(Event, topic="x" * 57):
        number: int

    shop.start()
    with pytest.raises(InvalidNameError, match="receipts"):
        shop.orders.transact(lambda connection: shop.outbox.add(connection, Long(number=1)))


def test_receipts_that_are_nonsense_harm_nobody(shop: Shop) -> None:
    from eventbus.sql.receipts import receipts_given_on

    shop.start()
    given = receipts_given_on("placed.receipts")
    shop.harness.publish(given(topic="placed", channel="fulfillment", since={}, ids=("unknown", "x" * 60)))
    shop.harness.publish(given(topic="elsewhere", channel="stranger", since={"Placed": 0.0}, ids=()))
    shop.place(1)
    shop.harness.advance(2.0)
    assert effects_in(shop.fulfillment) == [1]
    assert shop.unsettled() == 0
