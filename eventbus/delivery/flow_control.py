"""Flow control: lets the deliveries of one channel flow, holds them, or lets one through as a test, as the breaker says."""

from __future__ import annotations

from eventbus.backoff import Backoff
from eventbus.delivery.circuit_breaker import CircuitBreaker, State
from eventbus.delivery.workers import Workers
from eventbus.engines.base import Subscription
from eventbus.runtime.clock import Clock
from eventbus.runtime.guarded_log import guarded_log
from eventbus.wire.envelope import Envelope

log = guarded_log("eventbus.delivery")

_GATHERING = 0.25
"""Longest time in seconds for which deliveries are gathered before one of them is tried."""


class FlowControl:
    """Acts out what `CircuitBreaker` decides: pauses and opens a subscription, and wakes the workers.

    Args:
        name: topic and channel, for people.
        max_in_flight: deliveries held while all flows.
        most: deliveries that may be held at all, to find one that was never tried among them.
    """

    def __init__(self, policy: Backoff, clock: Clock, name: str, max_in_flight: int, most: int) -> None:
        self.breaker = CircuitBreaker(policy)
        self._clock = clock
        self._name = name
        self._max_in_flight = max_in_flight
        self._most = most
        self._workers: Workers | None = None
        self._subscription: Subscription | None = None

    def control(self, workers: Workers) -> None:
        """Take over the workers."""
        self._workers = workers

    def open(self, subscription: Subscription) -> None:
        """Let the deliveries of a subscription flow."""
        self._subscription = subscription

    def close(self) -> None:
        """Leave the subscription alone from now on: it is being stopped."""
        self._subscription = None

    def allow(self, count: int) -> None:
        """Let so many deliveries be held while all flows."""
        self._max_in_flight = count
        if self.is_flowing:
            self._limit(count)

    @property
    def is_flowing(self) -> bool:
        """Whether nothing is held back."""
        return self.breaker.state is State.CLOSED

    def failed(self, envelope: Envelope, *, is_first: bool) -> None:
        """Count a failure that speaks against the channel as a whole.

        Args:
            is_first: whether it is the first of its event.
        """
        if not self.breaker.failed((envelope.source, envelope.type), is_first=is_first):
            return
        seconds = self.breaker.pause()
        log.warning("%s backs off for %.3g s: its handlers keep failing", self._name, seconds)
        self._limit(0)
        self._clock.call_later(seconds, self._probe)

    def hold(self, seconds: float) -> None:
        """Hold the channel for `seconds`: what it needs is away, and no delivery is to blame."""
        if self.breaker.trip():
            self._limit(0)
            self._clock.call_later(seconds, self._probe)

    def succeeded(self, envelope: Envelope) -> None:
        """Count a success."""
        if self.breaker.succeeded((envelope.source, envelope.type)):
            log.info("%s goes on: a test delivery passed", self._name)
            self._limit(self._max_in_flight)
            if self._workers is not None:
                self._workers.wake()

    def _probe(self) -> None:
        self.breaker.probe()
        # one that was never tried says most, and it may wait in the engine behind many that fail: as many as may be held
        # come in for a moment, and the newest of them is tried
        self._limit(self._most)
        self._clock.call_later(min(_GATHERING, self.breaker.pause()), self.probe_again)

    def probe_again(self) -> None:
        """Try the next one; also where the test that ended neither passed nor failed."""
        if self.breaker.state is State.HALF_OPEN and self._workers is not None:
            self._workers.probe()

    def _limit(self, count: int) -> None:
        if self._subscription is not None:
            self._subscription.set_max_in_flight(count)
