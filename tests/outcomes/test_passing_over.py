"""Middleware that passes over what was simply handled is not told of it, and whatever else befalls it is."""

from __future__ import annotations

from collections import Counter

from eventbus import Bus, Event, Middleware, Retry, Service
from eventbus.context import Context
from eventbus.middleware import Outcome
from eventbus.wire.envelope import Envelope
from tests.waiting import eventually


class Weighed(Event, topic="weighed"):
    grams: int


class Noting(Middleware):
    """Notes outcomes by the event's weight."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[int, str]] = Counter()

    def settled(self, outcome: Outcome, context: Context, error: BaseException | None) -> None:
        self.seen[context.envelope.data["grams"], outcome.value] += 1


class Picky(Noting):
    def passes_over(self, envelope: Envelope) -> bool:
        if envelope.data["grams"] == 5:
            raise LookupError
        return bool(envelope.data["grams"] < 10)


def test_what_one_passes_over_others_are_told_and_failures_all_are() -> None:
    picky, noting = Picky(), Noting()
    service = Service("scales")
    failed: list[int] = []

    @service.on(Weighed, retry=Retry(attempts=2, first=0.01))
    def weigh(event: Weighed) -> None:
        if event.grams == 2 and not failed:
            failed.append(event.grams)
            raise ValueError

    with Bus("memory://", middleware=[picky, noting]) as bus:
        bus.start(service)
        for grams in (1, 2, 5, 20):
            bus.publish(Weighed(grams=grams))
        eventually(lambda: noting.seen.total() == 5, "all outcomes")
        assert bus.dispatchers[0].handled == 4
    assert noting.seen == Counter([(1, "handled"), (2, "retried"), (2, "handled"), (5, "handled"), (20, "handled")])
    assert picky.seen == Counter([(2, "retried"), (2, "handled"), (20, "handled")])
