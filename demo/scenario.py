"""The scenario: three services on one bus, two workers of each subscriber, and a ledger at the end."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

import gevent

from eventbus import Backoff, Bus, Context, Middleware, Outcome, Retry
from services.email_confirmation import app as email_confirmation
from services.email_confirmation.mailbox import Mailbox
from services.fulfillment import app as fulfillment
from services.fulfillment.store import Warehouse
from services.orders import app as orders
from services.orders.events import OrderPlaced
from services.orders.store import OrderStore

WORKERS = 2
_QUIET = 10.0
"""Seconds without any progress after which the scenario stops waiting and the ledger tells what is missing."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What came of the orders; balanced when each has exactly one end and one mail.

    Attributes:
        orders: placed.
        shipped, rejected: orders by their end, as the orders service knows it.
        confirmed: orders whose mail was sent and noted.
        lost: orders without an end or without a mail.
        doubled: shipments and mails beyond one for an order.
        dead_letters: deliveries parked on the way; all were replayed at the end.
        retries: deliveries that failed and came again.
        seconds: from the first order to the last confirmation.
    """

    orders: int
    shipped: int
    rejected: int
    confirmed: int
    lost: int
    doubled: int
    dead_letters: int
    retries: int
    seconds: float

    @property
    def is_balanced(self) -> bool:
        return not self.lost and not self.doubled and self.orders == self.shipped + self.rejected == self.confirmed

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "balanced": self.is_balanced}


class RandomFailureError(Exception):
    """Made up by `--fail-rate`."""


class Flow(Middleware):
    """Watches the flow, and makes handlers fail at random: half the time before they begin, half after they are done."""

    def __init__(self, fail_rate: float, seed: int) -> None:
        self.fail_rate = fail_rate
        self.handled: dict[str, Counter[str]] = {}
        self.outcomes: Counter[Outcome] = Counter()
        self.recent: deque[str] = deque(maxlen=8)
        self._random = Random(seed)

    def handle(self, event: Any, context: Context, proceed: Callable[[Any, Context], Any]) -> Any:
        fails = self._random.random() < self.fail_rate
        if fails and self._random.random() < 0.5:
            raise RandomFailureError("before the handler")
        result = proceed(event, context)
        if fails:
            raise RandomFailureError("after the handler")
        return result

    def settled(self, outcome: Outcome, context: Context, error: BaseException | None) -> None:
        self.outcomes[outcome] += 1
        place = f"{context.topic}/{context.channel}"
        if outcome is Outcome.HANDLED:
            workers = self.handled.setdefault(place, Counter())
            workers[context.instance] += 1
            if workers[context.instance] > 3:
                return  # the table counts the rest; the lines show what kinds of things happen
        if outcome is not Outcome.SKIPPED:
            again = f", attempt {context.attempt}" if context.attempt > 1 else ""
            self.recent.append(f"{place:<34} {outcome.value:<9} {context.event_type} by {context.instance}{again}")


class Scenario:
    """Services, stores and the flow between them."""

    def __init__(self, url: str, *, stock: dict[str, int], fail_rate: float, seed: int) -> None:
        self.flow = Flow(fail_rate, seed)
        # short delays: a demo that waits is no demo. No channel pause: failures here are random, no broken dependency
        retry = Retry(attempts=3 if fail_rate else 8, first=0.05, ceiling=1.0)
        self.store, self.warehouse, self.mailbox = OrderStore(), Warehouse(stock), Mailbox()
        self.bus = Bus(url, source=orders.NAME, middleware=[self.flow])
        services = [orders.build(self.store, retry=retry)]
        for number in range(1, WORKERS + 1):
            services.append(fulfillment.build(self.warehouse, retry=retry, instance=f"fulfillment-{number}"))
            services.extend(email_confirmation.build(self.mailbox, retry=retry, instance=f"email_confirmation-{number}"))
        for service in services:
            service.backoff = Backoff(after=0)
        self.services = services
        self.began = 0.0
        self.ended = 0.0

    def start(self) -> None:
        self.bus.start(*self.services)
        self.began = self.ended = time.perf_counter()

    def place(self, order: OrderPlaced) -> None:
        """Keep the order and announce it."""
        self.store.add(order)
        self.bus.publish(order)

    def done(self) -> int:
        """Number of orders with an end and a noted mail."""
        return sum(1 for order in self.store.all() if order.status != "placed" and order.is_confirmed)

    def finish(self, on_progress: Callable[[int], None]) -> Ledger:
        """Wait until every order has its end, replaying what was parked; return the ledger."""
        last, since = -1, time.perf_counter()
        dead = 0
        while (done := self.done()) < len(self.store.all()):
            if done != last:
                last, since = done, time.perf_counter()
            on_progress(done)
            quiet = time.perf_counter() - since
            if quiet > 1.5 and self.flow.outcomes[Outcome.PARKED] > dead:
                dead = self.flow.outcomes[Outcome.PARKED]
                self.flow.fail_rate = 0.0  # somebody mended the fault; now what is parked may go on
                self._replay()
            elif quiet > _QUIET:
                break
            gevent.sleep(0.05)
        self.ended = time.perf_counter()
        on_progress(self.done())
        return self._ledger()

    def _replay(self) -> None:
        for service in {service.name + service.channel: service for service in self.services}.values():
            for topic in service.topics:
                self.bus.dead_letters(topic, service).replay()

    def _ledger(self) -> Ledger:
        placed = self.store.all()
        mails, shipments = Counter(self.mailbox.sent), Counter(self.warehouse.shipments)
        return Ledger(
            orders=len(placed),
            shipped=sum(1 for order in placed if order.status == "shipped"),
            rejected=sum(1 for order in placed if order.status == "rejected"),
            confirmed=sum(1 for order in placed if order.is_confirmed),
            lost=sum(
                1
                for order in placed
                if order.status == "placed"
                or not order.is_confirmed
                or not mails[order.placed.order_id]
                or (order.status == "shipped" and not shipments[order.placed.order_id])
            ),
            doubled=sum(count - 1 for count in mails.values()) + sum(count - 1 for count in shipments.values()),
            dead_letters=self.flow.outcomes[Outcome.PARKED],
            retries=self.flow.outcomes[Outcome.RETRIED] + self.flow.outcomes[Outcome.POSTPONED],
            seconds=round(self.ended - self.began, 3),
        )

    def stop(self) -> None:
        self.bus.stop(grace=5.0)
