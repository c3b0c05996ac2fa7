"""Twelve bugs that handlers have, each planted once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gevent

from eventbus import Context, Event, Retry, RetryLater, Service
from tests.simulation.planted_on_databases import (
    effect_outside_the_transaction,
    inbox_without_its_channel,
    mail_before_commit,
    publish_before_commit,
)
from tests.simulation.shop import A1, A2, NO_A1, Cancelled, Placed, PlacedSeen, Shop


def no_idempotency() -> Shop:
    shop, service = Shop(), Service("fulfillment")

    @service.on(Placed)
    def ship(event: Placed) -> None:
        shop.shipped.append(event.order_id)

    shop.services.append(service)
    return shop


def cancel_before_place() -> Shop:
    shop, service = Shop(), Service("fulfillment")

    @service.on(Placed)
    def place(event: Placed) -> None:
        if event.order_id not in shop.shipped:
            shop.shipped.append(event.order_id)

    @service.on(Cancelled)
    def cancel(event: Cancelled) -> None:
        if event.order_id in shop.shipped:
            shop.shipped.remove(event.order_id)

    shop.services.append(service)
    return shop


def oversell_by_interleaving() -> Shop:
    shop, service = Shop(), Service("fulfillment")
    sold: set[str] = set()

    @service.on(Placed)
    def sell(event: Placed) -> None:
        if event.order_id in sold:
            return
        left = shop.left
        gevent.sleep(0)  # as every look at a database does
        if left > 0:
            sold.add(event.order_id)
            shop.left -= 1

    shop.services.append(service)
    return shop


def state_in_the_handlers_object() -> Shop:
    shop = Shop()

    def make() -> Service:
        service, seen = Service("fulfillment"), set()

        @service.on(Placed)
        def ship(event: Placed) -> None:
            if event.order_id not in seen:
                seen.add(event.order_id)
                shop.shipped.append(event.order_id)

        return service

    shop.services.append(make)
    return shop


def finish_before_commit() -> Shop:
    shop = Shop()

    def make() -> Service:
        service, unwritten = Service("fulfillment"), []

        @service.on(Placed)
        def ship(event: Placed) -> None:
            unwritten.append(event.order_id)
            if len(unwritten) == 2:  # both at once, for speed
                shop.shipped.extend(each for each in unwritten if each not in shop.shipped)
                unwritten.clear()

        return service

    shop.services.append(make)
    return shop


def retry_that_loses_an_attempt() -> Shop:
    shop, service = Shop(), Service("fulfillment")
    asked: set[str] = set()

    @service.on(Placed, retry=Retry(attempts=2, first=1.0))
    def ship(event: Placed) -> None:
        if event.order_id not in asked:
            asked.add(event.order_id)
            raise RetryLater(after=10.0)
        if event.order_id not in shop.shipped:
            shop.shipped.append(event.order_id)

    shop.services.append(service)
    return shop


def dead_letter_dropped() -> Shop:
    shop, service = Shop(), Service("fulfillment")

    @service.on(Placed)
    def ship(event: Placed, context: Context) -> None:
        if context.attempt == 3:
            return  # no use to try again
        if event.order_id not in shop.shipped:
            shop.shipped.append(event.order_id)

    shop.services.append(service)
    return shop


def answer_to_what_cannot_be_read() -> Shop:
    shop, service = Shop(), Service("fulfillment")

    @service.on(PlacedSeen)
    def ship(event: PlacedSeen) -> None:
        if event.express is None:
            return  # no event of ours, it seems
        if event.order_id not in shop.shipped:
            shop.shipped.append(event.order_id)

    shop.services.append(service)
    return shop


def shipped_once(shop: Shop, world: Any) -> None:
    told = [envelope.data["order_id"] for _, envelope in world.conductor.published if envelope.type == "Shipped"]
    assert len(told) <= 1, f"told {len(told)} times: shipped {told[0]}"


def both_are_noted(shop: Shop) -> None:
    assert len(shop.rows()) == 2, f"only {shop.rows()}"


@dataclass(frozen=True)
class Planted:
    """A bug, and how it shows."""

    build: Callable[[], Any]
    events: Sequence[Event]
    check: Callable[..., Any]
    step: str
    """Part of the line of the story that says where it breaks."""
    faults: int = 1


def _all(*orders: str) -> Callable[[Shop], None]:
    return lambda shop: shop.ships_all(*orders)


PLANTED = [
    Planted(no_idempotency, [A1], Shop.ships_once, "a second time"),
    Planted(cancel_before_place, [A1, NO_A1], Shop.ships_nothing, "another message that waits"),
    Planted(oversell_by_interleaving, [A1, A2], Shop.sells_what_is_there, "another worker"),
    Planted(state_in_the_handlers_object, [A1], Shop.ships_once, "dies after the effect"),
    Planted(finish_before_commit, [A1, A2], _all("A1", "A2"), "ship handles Placed A2"),
    Planted(retry_that_loses_an_attempt, [A1], _all("A1"), "dies before the handler"),
    Planted(dead_letter_dropped, [A1], _all("A1"), "attempt 3", faults=2),
    Planted(answer_to_what_cannot_be_read, [A1], _all("A1"), "older version"),
    Planted(effect_outside_the_transaction, [A1], Shop.ships_once, "time is up"),
    Planted(mail_before_commit, [A1], Shop.mails_once, "before its transaction is committed"),
    Planted(inbox_without_its_channel, [A1], both_are_noted, "note handles Placed A1", faults=0),
    Planted(publish_before_commit, [A1], shipped_once, "confirmation is lost"),
]
