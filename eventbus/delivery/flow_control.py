"""Flow control: lets the deliveries of one channel flow, holds them, or lets one through as a test, as the breaker says."""

from __future__ import annotations

import logging
from collections.abc import Callable

from eventbus.backoff import Backoff
from eventbus.delivery.circuit_breaker import CircuitBreaker, State
from eventbus.delivery.workers import Workers
from eventbus.engines.base import Subscription
from eventbus.runtime.clock import Clock

log = logging.getLogger("eventbus.delivery")


class FlowControl:
    """Acts out what `CircuitBreaker` decides: pauses and opens a subscription, and wakes the workers.

    Args:
        name: topic and channel, for people.
        max_in_flight: deliveries held while all flows.
    """

    def __init__(self, policy: Backoff, clock: Clock, name: str, max_in_flight: int) -> None:
        self.breaker = CircuitBreaker(policy)
        self._clock = clock
        self._name = name
        self._max_in_flight = max_in_flight
        self._workers: Workers | None = None
        self._set_max_in_flight: Callable[[int], None] | None = None

    def control(self, workers: Workers) -> None:
        """Take over the workers."""
        self._workers = workers

    def open(self, subscription: Subscription) -> None:
        """Let the deliveries of a subscription flow."""
        self._set_max_in_flight = subscription.set_max_in_flight

    def close(self) -> None:
        """Leave the subscription alone from now on: it is being stopped."""
        self._set_max_in_flight = None

    @property
    def is_flowing(self) -> bool:
        """Whether nothing is held back."""
        return self.breaker.state is State.CLOSED

    def failed(self) -> None:
        """Count a failure that speaks against the channel as a whole."""
        if not self.breaker.failed():
            return
        seconds = self.breaker.pause()
        log.warning("%s backs off for %.3g s: its handlers keep failing", self._name, seconds)
        self._limit(0)
        self._clock.call_later(seconds, self._probe)

    def succeeded(self) -> None:
        """Count a success."""
        if self.breaker.succeeded():
            log.info("%s goes on: a test delivery passed", self._name)
            self._limit(self._max_in_flight)
            if self._workers is not None:
                self._workers.wake()

    def _probe(self) -> None:
        self.breaker.probe()
        # what is held already is tried first; with nothing held, one delivery is asked for
        self._limit(1)
        self.probe_next()

    def probe_again(self) -> None:
        """Try the next one, where the test that ended neither passed nor failed."""
        if self.breaker.state is State.HALF_OPEN:
            self.probe_next()

    def probe_next(self) -> None:
        """Try one of the deliveries that are held."""
        if self._workers is not None:
            self._workers.probe()

    def _limit(self, count: int) -> None:
        if self._set_max_in_flight is not None:
            self._set_max_in_flight(count)
