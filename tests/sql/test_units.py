"""Units of work of an inbox: whole or not at all, whoever tries to end them from within."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from eventbus import BusStateError, Outcome, Reject, Retry, Service
from eventbus.sql import SqlContext
from eventbus.sql.tables import dead_letters
from eventbus.sql.tables import inbox as claims
from tests.sql.conftest import Shop
from tests.sql.events import Placed, effects_in, note, rows_of


def _by_driver(context: SqlContext) -> None:
    context.connection.connection.dbapi_connection.commit()  # type: ignore[union-attr]


ENDS: dict[str, Callable[[SqlContext], object]] = {
    "commit": lambda context: context.connection.commit(),
    "rollback": lambda context: context.connection.rollback(),
    "transaction": lambda context: context.connection.get_transaction().commit(),  # type: ignore[union-attr]
    "statement": lambda context: context.connection.execute(sa.text("  COMMIT")),
    "session": lambda context: Session(context.connection, join_transaction_mode="control_fully").commit(),
    "driver": _by_driver,
}


@pytest.mark.parametrize("end", sorted(ENDS))
def test_a_handler_that_ends_the_transaction_leaves_no_claim_with_half_an_effect(shop: Shop, end: str) -> None:
    tries: list[int] = []
    service = Service("meddler")

    @service.on(Placed, inbox=shop.inbox, retry=Retry(attempts=4, first=0.1))
    def meddle(event: Placed, context: SqlContext) -> None:
        tries.append(1)
        note(context.connection, 1)
        if len(tries) == 1:
            ENDS[end](context)
            raise ValueError("after it")
        note(context.connection, 2)

    shop.harness.start(service)
    with shop.harness.expecting(Exception):
        shop.harness.publish(Placed(number=1))
        shop.harness.settle()
    assert len(tries) == 2
    assert effects_in(shop.fulfillment)[-2:] == [1, 2] if end != "driver" else effects_in(shop.fulfillment) == [1, 1, 2]
    assert len(rows_of(shop.fulfillment, claims)) == 1


def test_savepoints_and_sessions_are_free(shop: Shop) -> None:
    service = Service("careful")

    @service.on(Placed, inbox=shop.inbox)
    def careful(event: Placed, context: SqlContext) -> None:
        with context.connection.begin_nested():
            note(context.connection, 1)
        part = context.connection.begin_nested()
        note(context.connection, 13)
        part.rollback()
        with Session(context.connection) as session:
            session.execute(sa.text("SELECT 1"))
            session.commit()

    shop.harness.start(service)
    shop.harness.publish(Placed(number=1))
    shop.harness.settle()
    assert effects_in(shop.fulfillment) == [1]


def test_publishing_by_the_bus_is_refused_in_a_handler_with_an_inbox(shop: Shop) -> None:
    said: list[str] = []
    service = Service("loud")

    @service.on(Placed, inbox=shop.inbox)
    def loud(event: Placed, context: SqlContext) -> None:
        with pytest.raises(BusStateError) as refused:
            shop.harness.bus.publish(Placed(number=2))
        said.append(str(refused.value))

    shop.harness.start(service)
    shop.harness.publish(Placed(number=1))
    shop.harness.settle()
    assert len(said) == 1
    assert "context.publish" in said[0]


def send(shop: Shop, source: str, number: int, identifier: str = "same") -> None:
    body = {"specversion": "1.0", "id": identifier, "source": source, "type": "Placed", "data": {"number": number}}
    shop.harness.engine.publish("placed", json.dumps(body).encode(), delay=0.0, timeout=1.0)
    shop.harness.settle()


def test_events_of_two_publishers_with_one_id_both_have_their_effect(shop: Shop) -> None:
    shop.harness.start(shop.service)
    for number, source in enumerate(("one", "two")):
        send(shop, source, number)
    assert effects_in(shop.fulfillment) == [0, 1]
    assert shop.inbox.doubles == 0


def test_a_double_with_other_data_is_told(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.harness.start(shop.service)
    for number in (1, 1, 2):
        send(shop, "one", number)
    assert effects_in(shop.fulfillment) == [1]
    assert (shop.inbox.doubles, shop.inbox.mismatches) == (2, 1)
    assert "other data" in caplog.text


def test_ids_of_any_length_are_claimed(shop: Shop) -> None:
    shop.harness.start(shop.service)
    for identifier in ("x" * 100, "x" * 100, "ü" * 60):
        send(shop, "s" * 100, 1, identifier)
    assert effects_in(shop.fulfillment) == [1, 1]


# -- dead letters that the database keeps ---------------------------------------------------------------------------------


@pytest.fixture
def picky(shop: Shop) -> Service:
    service = Service("picky")
    shop.mended = False  # type: ignore[attr-defined]

    @service.on(Placed, inbox=shop.inbox)
    def pick(event: Placed, context: SqlContext) -> None:
        if not shop.mended:  # type: ignore[attr-defined]
            raise Reject("not today")
        note(context.connection, event.number)

    shop.harness.start(service)
    return service


def test_a_dead_letter_that_the_broker_lost_comes_back(shop: Shop, picky: Service) -> None:
    for number in range(3):
        shop.harness.publish(Placed(number=number))
    shop.harness.advance(5.0)
    assert len(shop.harness.dead_letters(picky)) == 3
    shop.harness.engine.empty("placed.picky.dead", "parked")
    for _ in range(4):
        shop.harness.advance(20.0)
    assert len(shop.harness.dead_letters(picky)) == 3
    assert shop.harness.outcomes(Outcome.PARKED) == 3


def test_a_letter_is_kept_until_its_event_was_handled(shop: Shop, picky: Service) -> None:
    shop.harness.publish(Placed(number=1))
    shop.harness.advance(2.0)
    assert len(rows_of(shop.fulfillment, dead_letters)) == 1
    letters = shop.harness.bus.dead_letters(Placed, picky)
    assert letters.replay() == 1
    shop.harness.advance(2.0)
    assert len(rows_of(shop.fulfillment, dead_letters)) == 1, "it failed again"
    assert len(shop.harness.dead_letters(picky)) == 1
    shop.mended = True  # type: ignore[attr-defined]
    assert letters.replay() == 1
    shop.harness.advance(2.0)
    assert rows_of(shop.fulfillment, dead_letters) == []
    assert effects_in(shop.fulfillment) == [1]
    for _ in range(4):
        shop.harness.advance(20.0)
    assert shop.harness.dead_letters(picky) == []


def test_a_letter_that_was_discarded_is_gone(shop: Shop, picky: Service) -> None:
    shop.harness.publish(Placed(number=1))
    shop.harness.advance(2.0)
    assert shop.harness.bus.dead_letters(Placed, picky).discard() == 1
    for _ in range(4):
        shop.harness.advance(20.0)
    assert rows_of(shop.fulfillment, dead_letters) == []
    assert shop.harness.dead_letters(picky) == []
