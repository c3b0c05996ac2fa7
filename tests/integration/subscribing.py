"""Subscriptions to NSQ, for tests that look at deliveries."""

from __future__ import annotations

from typing import Any

from eventbus import Bus
from eventbus.engines.nsq.consumer import NsqSubscription
from eventbus.engines.nsq.engine import NsqEngine
from eventbus.testing.conformance.worlds import LONG


def subscription(bus: Bus) -> NsqSubscription:
    found: Any = bus.dispatchers[0].subscription
    assert isinstance(found, NsqSubscription)
    return found


def subscribe(
    engine: NsqEngine, topic: str = "t", *, max_in_flight: int = 10, into: list[Any] | None = None
) -> NsqSubscription:
    got = [] if into is None else into
    return engine.subscribe(topic, "c", got.extend, max_in_flight=max_in_flight, message_timeout=LONG)
