"""The testing kit's faults of databases and brokers: each happens, and outbox and inbox hold."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import sqlalchemy as sa

from eventbus import NotSent, Outcome, Rejected
from eventbus.errors import InboxUnavailableError
from eventbus.sql import Database, metadata
from eventbus.sql.tables import outbox as table
from eventbus.testing.databases import database_down, dying_after_commit, failing_commits
from tests.sql.conftest import Shop
from tests.sql.events import Placed, Shipped, effects_in, rows_of
from tests.waiting import PATIENCE


def test_an_outage_of_a_subscribers_database_makes_no_dead_letter(shop: Shop) -> None:
    shop.start()
    with shop.harness.expecting(InboxUnavailableError), database_down(shop.fulfillment):
        with pytest.raises(sa.exc.TimeoutError, match="holds the database down"):
            shop.fulfillment.transact(lambda connection: None)
        shop.place(1)
        shop.harness.advance(600.0, timeout=PATIENCE)
    assert effects_in(shop.fulfillment) == []
    shop.harness.settle(timeout=PATIENCE)
    assert effects_in(shop.fulfillment) == [1]
    assert shop.harness.dead_letters() == []


def test_a_commit_that_fails_takes_effect_and_event_back(shop: Shop) -> None:
    shop.start()
    with shop.harness.expecting(InboxUnavailableError), failing_commits(shop.fulfillment, 2):
        shop.place(1)
        shop.harness.settle(timeout=PATIENCE)
    assert shop.inbox.doubles == 0
    assert effects_in(shop.fulfillment) == [1]
    assert shop.shipped() == [1]


def test_a_commit_of_the_caller_that_fails_publishes_nothing(shop: Shop) -> None:
    shop.start()
    with failing_commits(shop.orders), pytest.raises(sa.exc.TimeoutError, match="lets the commit fail"):
        shop.place(1)
    shop.harness.settle(timeout=PATIENCE)
    assert rows_of(shop.orders, table) == []
    assert shop.harness.published(Placed) == []


def test_a_death_after_the_commit_has_one_effect(shop: Shop) -> None:
    shop.start()
    with shop.harness.expecting(InboxUnavailableError), dying_after_commit(2):
        shop.place(1)
        shop.harness.settle(timeout=PATIENCE)
    assert shop.inbox.doubles >= 1, "it came again"
    assert effects_in(shop.fulfillment) == [1]
    assert shop.shipped() == [1]


def test_a_topic_that_the_broker_refuses_holds_up_no_other(shop: Shop) -> None:
    shop.start()
    with shop.harness.refusing(Shipped):
        with pytest.raises(Rejected, match="refuse this topic"):
            shop.harness.bus.publish(Shipped(number=2))
        shop.place(1)
        shop.harness.advance(1.0, timeout=PATIENCE)
        assert effects_in(shop.fulfillment) == [1]
        assert shop.shipped() == []
        assert shop.shipments.backlog().refused == 1
    shop.harness.settle(timeout=PATIENCE)
    assert shop.shipped() == [1]


def test_lost_receipts_are_asked_for_again(shop: Shop) -> None:
    shop.start()
    shop.harness.lose_receipts(1)
    shop.place(1)
    shop.harness.advance(1.0, timeout=PATIENCE)
    assert effects_in(shop.fulfillment) == [1]
    assert shop.unsettled() == 1
    shop.harness.settle(timeout=PATIENCE)
    shop.harness.advance(5.0, timeout=PATIENCE)
    assert shop.unsettled() == 0
    assert effects_in(shop.fulfillment) == [1]
    assert shop.harness.outcomes(Outcome.PARKED) == 0


def test_a_broker_that_is_down_says_so(shop: Shop) -> None:
    shop.start()
    with shop.harness.broker_down(), pytest.raises(NotSent):
        shop.harness.bus.publish(Shipped(number=1))


def test_a_file_of_sqlite_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with Database(f"sqlite:///{tmp_path / 'own.db'}") as database:
            database.create_tables(metadata)
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
            assert set(modes.values()) == {0o600}, modes
            assert len(modes) >= 2, "the log beside it"
        given = tmp_path / "given.db"
        given.touch(mode=0o640)
        with Database(f"sqlite:///{given}") as database:
            database.create_tables(metadata)
        assert stat.S_IMODE(given.stat().st_mode) == 0o640, "one that was there keeps its mode"
    finally:
        os.umask(before)
