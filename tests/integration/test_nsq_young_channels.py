"""Delays on a channel that nsqd's timers do not know yet: an nsqd that looks at no timer shows who keeps the time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventbus import Bus, Retry, RetryLater
from eventbus.engines.nsq import consumer, declaring
from eventbus.errors import NotSent
from eventbus.middleware import Outcome
from eventbus.testing.conformance.kit import Seen, listener, numbered, publish_numbers
from eventbus.wire.codec import decode
from tests.nsqd import Nsqd
from tests.waiting import eventually

MakeBus = Callable[..., Bus]


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nsqd]:
    """An nsqd whose delays never end, and buses that take all channels for new ones."""
    for where in (consumer, declaring):
        monkeypatch.setattr(where, "YOUNG", 3600.0)
    nsqd = Nsqd("-queue-scan-selection-count=0")
    yield nsqd
    nsqd.end()


def test_retries_and_delays_end_in_time_on_a_new_channel(forgetful: Nsqd, make_bus: MakeBus) -> None:
    kind, seen = numbered(), Seen()

    def act(event: Any, context: Any) -> None:
        if event.number == 1 and context.attempt == 1:
            raise NotSent("not now")
        if event.number == 2 and context.attempt == 1:
            raise RetryLater(after=0.4)

    bus = make_bus(forgetful.url)
    bus.start(listener(kind, seen, act=act, retry=Retry(attempts=3, first=0.4, ceiling=0.4)))
    published = bus.engine.clock.monotonic()
    bus.publish(kind(number=3), delay=1.5)
    publish_numbers(bus, kind, [1, 2])
    eventually(lambda: sorted(zip(seen.numbers, seen.attempts, strict=True)) == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)])
    assert seen.times[seen.numbers.index(3)] - published >= 1.45
    assert not bus.dispatchers[0].counts[Outcome.EARLY], "it waited in hand, and not in a copy"


def test_what_waits_in_hand_goes_back_at_a_stop_and_costs_no_attempt(forgetful: Nsqd, make_bus: MakeBus) -> None:
    kind, seen, other = numbered(), Seen(), Seen()
    bus = make_bus(forgetful.url)
    bus.start(listener(kind, seen, name="s"))
    bus.publish(kind(number=1), delay=60.0)
    eventually(lambda: len(bus.dispatchers[0].held()) == 1)
    report = bus.stop()
    assert (report.returned, len(seen)) == (1, 0)
    bus = make_bus(forgetful.url)
    bus.start(listener(kind, other, name="s"))
    eventually(lambda: len(bus.dispatchers[0].held()) == 1)
    (delivery,) = bus.dispatchers[0].held()
    copy = decode(delivery.body)
    assert (copy.prior_attempts, delivery.attempts, len(other)) == (0, 1, 0)


def test_what_waits_in_hand_takes_nobodys_place(forgetful: Nsqd, make_bus: MakeBus) -> None:
    """A quarter of what may be held waits here at most, and good events go on."""
    kind, seen = numbered(), Seen()

    def act(event: Any, context: Any) -> None:
        if event.number < 30:
            raise RetryLater(after=4.0)

    bus = make_bus(forgetful.url)
    bus.start(listener(kind, seen, act=act, max_in_flight=16))
    publish_numbers(bus, kind, range(130))
    eventually(lambda: set(range(30, 130)) <= set(seen.numbers))
    assert len(bus.dispatchers[0].held()) <= 4
