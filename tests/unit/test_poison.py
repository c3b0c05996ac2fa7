"""Ten thousand messages that nobody can read, and the good events beside them."""

from __future__ import annotations

import logging
import time

import gevent

from eventbus import Bus, Event, Service
from eventbus.settings import BusSettings
from tests.waiting import eventually


class Good(Event, topic="t"):
    at: float


def test_ten_thousand_poison_messages_are_parked_beside_the_good_ones() -> None:
    """No good event waits behind them: with each batch of bad ones that is parked, good ones are handled as well."""
    logging.disable(logging.CRITICAL)
    seen: list[int] = []
    service = Service("svc")

    @service.on(Good)
    def handle(good: Good) -> None:
        seen.append(sum(bus.dispatchers[0].counts.values()))

    try:
        with Bus("memory://", settings=BusSettings(max_dead_unreadable=10**9)) as bus:
            bus.start(service)
            for batch in range(100):
                for number in range(100):
                    bus.engine.publish("t", b"\x00poison %d %d" % (batch, number), delay=0.0, timeout=30.0)
                bus.publish(Good(at=time.time()))
                gevent.sleep(0)
            eventually(lambda: len(seen) == 100)
            eventually(lambda: bus.dead_letters("t", "svc").count() == 10_000, timeout=60.0)
            # what was parked when the good event number n was handled: never much more than came before it
            assert all(parked <= 100 * (number + 1) for number, parked in enumerate(seen))
    finally:
        logging.disable(logging.NOTSET)
