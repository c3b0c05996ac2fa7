"""Replicas of an origin share a register of subscribers, and their clocks differ."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from eventbus.sql.tables import outbox, subscribers
from tests.sql.conftest import Shop
from tests.sql.events import effects_in


@pytest.mark.parametrize("ahead", [60.0, 3600.0, 86400.0])
def test_what_a_replica_ahead_of_time_published_and_the_broker_lost_comes_within_seconds(shop: Shop, ahead: float) -> None:
    shop.start()
    shop.place(1)
    shop.harness.advance(5.0)
    shop.harness.lose_next(1)
    shop.place(2)
    shop.harness.advance(0.5)
    changes = {"published_at": outbox.c.published_at + ahead, "next_at": outbox.c.next_at + ahead}
    later = sa.update(outbox).where(outbox.c.settled_at.is_(None)).values(changes)
    assert shop.orders.transact(lambda connection: connection.execute(later).rowcount) == 1
    for _ in range(6):
        shop.harness.advance(10.0)
    assert effects_in(shop.fulfillment) == [1, 2]
    assert shop.unsettled() == 0


@pytest.mark.parametrize("ahead", [60.0, 3600.0, 86400.0])
def test_a_subscriber_that_a_replica_ahead_of_time_noted_is_waited_for(shop: Shop, ahead: float) -> None:
    shop.start()
    shop.place(1)
    shop.harness.advance(5.0)
    later = sa.update(subscribers).values(since=subscribers.c.since + ahead)
    shop.orders.transact(lambda connection: connection.execute(later))
    shop.harness.lose_next(1)
    shop.place(2)
    shop.harness.advance(1.0)
    assert effects_in(shop.fulfillment) == [1]
    assert shop.unsettled() == 1, "it is waited for"
    shop.harness.advance(1800.0)
    assert effects_in(shop.fulfillment) == [1, 2]
    assert shop.unsettled() == 0
