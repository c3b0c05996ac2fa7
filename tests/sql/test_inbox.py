"""Inbox: an event has its effect once, and what it causes is published, or nothing of both."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from eventbus import Batch, Bus, ConfigurationError, Context, HandlerDefinitionError, Outcome, Reject, RetryLater, Service
from eventbus.errors import HandlerResultError
from eventbus.sql import Database, Inbox, Outbox, SqlContext, metadata
from eventbus.sql.tables import dead_letters as letters
from eventbus.sql.tables import inbox as claims
from eventbus.testing import Harness
from eventbus.wire.envelope import REPEATED
from tests.sql.conftest import Shop
from tests.sql.events import Placed, Shipped, effects_in, note, rows_of, tables


def test_doubles_have_one_effect(shop: Shop) -> None:
    shop.start()
    shop.harness.duplicate_next(10)
    shop.place(*range(10))
    shop.harness.settle()
    assert effects_in(shop.fulfillment) == list(range(10))
    assert shop.shipped() == list(range(10)), "what the handler returned went out once"
    assert shop.inbox.doubles == 10


def test_a_failed_handler_takes_its_claim_and_its_effect_back(shop: Shop) -> None:
    shop.start()
    failures = [ValueError("once"), RetryLater(after=2.0), None]
    ship = shop.ship

    def fail(event: Placed, context: SqlContext) -> Shipped:
        shipped = ship(event, context)
        error = failures.pop(0)
        if error is not None:
            raise error
        return shipped

    other = Service("fulfillment")
    other.on(Placed, inbox=shop.inbox)(fail)
    shop.harness.bus.stop()
    harness = Harness(other)
    shop.outbox = Outbox(shop.orders, source="orders")
    with harness, harness.expecting(ValueError):
        harness.bus.attach(shop.outbox)
        shop.place(1)
        harness.settle()
        assert effects_in(shop.fulfillment) == [1]
        assert len(harness.published(Shipped)) == 1
        assert failures == []


def test_a_rejected_event_leaves_no_claim_and_can_be_replayed(shop: Shop) -> None:
    is_mended = False
    ship = shop.ship

    def picky(event: Placed, context: SqlContext) -> Shipped:
        shipped = ship(event, context)
        if not is_mended:
            raise Reject("not today")
        return shipped

    service = Service("picky")
    service.on(Placed, inbox=shop.inbox)(picky)
    shop.start()
    shop.harness.start(service)
    shop.place(1)
    shop.harness.settle()
    assert effects_in(shop.fulfillment) == [1], "of the other channel"
    assert len(rows_of(shop.fulfillment, claims)) == 1
    is_mended = True
    assert shop.harness.bus.dead_letters(Placed, service).replay() == 1
    shop.harness.settle()
    assert effects_in(shop.fulfillment) == [1, 1]


def test_what_was_sent_again_and_rejected_can_be_replayed(shop: Shop) -> None:
    is_mended = False

    def picky(event: Placed, context: SqlContext) -> None:
        if not is_mended:
            raise Reject("not today")
        note(context.connection, event.number)

    service = Service("picky")
    service.on(Placed, inbox=shop.inbox)(picky)
    shop.harness.start(service)
    shop.harness.bus.attach(shop.outbox)
    shop.harness.advance(1.0)
    shop.harness.lose_next(1)
    shop.place(1)
    shop.harness.advance(1.0)
    shop.harness.settle()
    (letter,) = shop.harness.dead_letters(service)
    assert REPEATED in (letter.envelope().extensions or {}), "it came as a copy that the outbox sent again"
    is_mended = True
    assert shop.harness.bus.dead_letters(Placed, service).replay() == 1
    shop.harness.advance(5.0)
    assert effects_in(shop.fulfillment) == [1]
    assert rows_of(shop.fulfillment, letters) == []


def test_a_letter_replayed_by_a_clock_that_is_wrong_is_not_held_for_gone_for_ever(shop: Shop) -> None:
    service = Service("picky")

    @service.on(Placed, inbox=shop.inbox)
    def reject(event: Placed) -> None:
        raise Reject("never")

    shop.harness.start(service)
    shop.start()
    shop.place(1)
    shop.harness.advance(2.0)
    year = sa.update(letters).values(replayed_at=shop.harness.clock.time() + 365 * 86400.0)
    shop.fulfillment.transact(lambda connection: connection.execute(year))
    shop.harness.engine.empty("placed.picky.dead", "parked")  # the broker lost it, and the copy with it
    for _ in range(5):
        shop.harness.advance(16.0)
    assert len(shop.harness.dead_letters(service)) == 1


def test_each_channel_claims_for_itself(shop: Shop) -> None:
    def count(event: Placed, context: SqlContext) -> None:
        note(context.connection, 1000 + event.number)

    other = Service("statistics")
    other.on(Placed, inbox=shop.inbox)(count)
    shop.start()
    shop.harness.start(other)
    shop.place(1)
    shop.harness.settle()
    assert effects_in(shop.fulfillment) == [1, 1001]


def test_publishing_in_the_handler_goes_through_the_outbox(shop: Shop) -> None:
    def busy(event: Placed, context: SqlContext) -> None:
        context.publish(Shipped(number=event.number), subject=f"order {event.number}")
        if context.attempt == 1:
            raise ValueError("after publishing")

    service = Service("busy")
    service.on(Placed, inbox=shop.inbox)(busy)
    shop.harness.start(service)
    shop.harness.bus.attach(shop.outbox)
    with shop.harness.expecting(ValueError):
        shop.place(3)
        shop.harness.settle()
    assert shop.shipped() == [3]
    (envelope,) = [each for each in shop.harness.envelopes() if each.type == "Shipped"]
    (cause,) = [each for each in shop.harness.envelopes() if each.type == "Placed"]
    assert (envelope.causation_id, envelope.source, envelope.subject) == (cause.id, "busy", "order 3")


def test_an_inbox_without_outbox_says_so_when_something_is_to_be_published(new_database: Callable[..., Database]) -> None:
    database = new_database(metadata, tables)
    service = Service("fulfillment")

    @service.on(Placed, inbox=Inbox(database))
    def ship(event: Placed) -> Shipped:
        return Shipped(number=event.number)

    with Harness(service) as harness:
        harness.publish(Placed(number=1))
        with harness.expecting(HandlerResultError):
            harness.settle()
        (letter,) = harness.dead_letters()
        assert "outbox=" in (letter.error or "")


def test_batches_pass_over_what_was_handled(shop: Shop) -> None:
    seen: list[list[int]] = []
    service = Service("batches")

    @service.on(Placed, batch=Batch(size=5, wait=0.1), inbox=shop.inbox)
    def many(events: list[Placed], contexts: list[SqlContext]) -> list[Shipped]:
        assert len(events) == len(contexts)
        seen.append([event.number for event in events])
        for event, context in zip(events, contexts, strict=True):
            note(context.connection, event.number)
        return [Shipped(number=event.number) for event in events]

    shop.harness.start(service)
    shop.harness.duplicate_next(3)
    for number in range(7):
        shop.harness.publish(Placed(number=number))
    shop.harness.settle()
    assert sorted(number for batch in seen for number in batch) == list(range(7))
    assert effects_in(shop.fulfillment) == list(range(7))
    assert shop.shipped() == list(range(7))


def test_claims_expire_by_age(shop: Shop) -> None:
    shop.inbox.keep = 3600.0
    shop.start()
    shop.place(1, 2)
    shop.harness.advance(3500.0)
    assert len(rows_of(shop.fulfillment, claims)) == 2
    shop.harness.advance(300.0)
    assert rows_of(shop.fulfillment, claims) == []


def test_replicas_in_one_process_share_the_inbox(shop: Shop) -> None:
    shop.harness.start(shop.service.replica("two"))
    shop.start()
    shop.harness.duplicate_next(50)
    shop.place(*range(50))
    shop.harness.settle()
    assert effects_in(shop.fulfillment) == list(range(50))
    assert shop.harness.outcomes(Outcome.HANDLED, by="fulfillment") == 100


def test_signatures_are_checked(new_database: Callable[..., Database]) -> None:
    database, other = new_database(), new_database()
    inbox = Inbox(database)
    service = Service("fulfillment")

    def plain(event: Placed, context: Context) -> None: ...
    def wrong(event: Placed, context: SqlContext) -> None: ...

    service.on(Placed, inbox=inbox)(plain)  # a SqlContext is a Context
    with pytest.raises(HandlerDefinitionError, match="annotated SqlContext, but it is given Context"):
        Service("other").on(Placed)(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="share one Database"):
        Inbox(database, outbox=Outbox(other))
    with pytest.raises(ConfigurationError, match="keep"):
        Inbox(database, keep=0)


def test_a_database_that_is_away_makes_handlers_fail_and_come_again(shop: Shop) -> None:
    shop.start()
    shop.fulfillment.transact(lambda connection: connection.execute(sa.text("ALTER TABLE effects RENAME TO away")))
    with shop.harness.expecting(sa.exc.DBAPIError):
        shop.place(1)
        shop.harness.advance(0.2)
        shop.fulfillment.transact(lambda connection: connection.execute(sa.text("ALTER TABLE away RENAME TO effects")))
        shop.harness.settle()
    assert effects_in(shop.fulfillment) == [1]


def test_the_bus_starts_an_outbox_that_only_an_inbox_names(shop: Shop) -> None:
    with Bus("memory://") as bus:
        bus.start(shop.service)
        assert shop.shipments in bus.attachments
