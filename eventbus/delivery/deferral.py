"""Deferral: a copy takes the place of a delivery, for its channel alone, with its attempts counted by us.

A requeue cannot say how many of its deliveries were runs, nor wait longer than the engine can. A copy can: it is the
same event with `replayfor`, `priorattempts` and, where it waits, `deliverat`. It is confirmed before the delivery is
finished, so that a fault in between doubles an event at worst and loses none.
"""

from __future__ import annotations

from collections.abc import Sequence

from eventbus.delivery.short_waits import ShortWaits
from eventbus.engines.base import Delivery, Engine
from eventbus.errors import DecodeError
from eventbus.runtime.guarded_log import guarded_log
from eventbus.runtime.redaction import one_line
from eventbus.signing import for_copies
from eventbus.wire.codec import Limits, decode, rewrite
from eventbus.wire.envelope import MAX_COUNT, Envelope
from eventbus.wire.limits import LONGEST_WAIT

log = guarded_log("eventbus.delivery")

_MOST_COPIES, _MOST_BYTES = 200, 1024 * 1024
"""Of one batch of copies."""
_MOST_IN_ALL = 16 * 1024 * 1024
"""Bytes that are copied for one stop: what is more is requeued, so that a stop does not wait for a network."""


class Deferral:
    """Puts copies in the place of deliveries of one topic and channel."""

    def __init__(self, engine: Engine, topic: str, channel: str, waits: ShortWaits) -> None:
        self._engine = for_copies(engine)
        self._waits = waits
        self._topic = topic
        self._channel = channel
        self._limits = Limits(max_bytes=engine.max_message_bytes)

    def defer(self, delivery: Delivery, deliver_at: float | None, prior_attempts: int, *, timeout: float) -> None:
        """Put a copy in the place of the delivery, due at `deliver_at` (seconds since 1970) or at once.

        Where that fails the delivery is requeued, and its attempts are what the engine counts.
        """
        wait = 0.0
        if deliver_at is not None:
            wait = min(max(deliver_at - self._engine.clock.time(), 0.0), self._engine.max_delay)
        try:
            body = self._copy(delivery.body, prior_attempts, deliver_at)
            self._engine.publish(self._topic, body, delay=wait, timeout=timeout)
        except BaseException as error:
            delivery.requeue(wait)
            log.warning(
                "a delivery on %s/%s could not be deferred by a copy (%s); requeued for %.3g s",
                self._topic,
                self._channel,
                one_line(error),
                wait,
            )
            if not isinstance(error, Exception):
                raise
        else:
            delivery.finish()

    def wait(self, delivery: Delivery, seconds: float) -> bool:
        """Keep an early delivery in hand for `seconds`, where that is better; it counts no attempt."""
        return self._waits.take(delivery, seconds, is_run=False)

    def retry(self, delivery: Delivery, seconds: float, attempt: int, *, timeout: float) -> None:
        """Have a delivery come again `seconds` after its run, which was number `attempt`."""
        if self._waits.take(delivery, seconds, is_run=True):
            return
        if seconds <= self._engine.max_delay:
            delivery.requeue(seconds)
        else:
            self.defer(delivery, self._engine.clock.time() + min(seconds, LONGEST_WAIT), attempt, timeout=timeout)

    def give_back(self, deliveries: Sequence[Delivery], *, timeout: float) -> None:
        """Give back what nobody began to work on, so that it costs no attempt; may take `timeout` seconds."""
        clock = self._engine.clock
        deadline = clock.monotonic() + timeout
        left = [each for each in deliveries if not each.give_back()]
        sent = 0
        while left:
            batch: list[Delivery] = []
            bodies: list[bytes] = []
            size = 0
            while left and len(batch) < _MOST_COPIES and size < _MOST_BYTES:
                delivery = left.pop(0)
                try:
                    body = self._copy(delivery.body, delivery.attempts - 1, None, adds=True)
                except Exception:  # no event, or one that cannot be written: what becomes of it is not decided here
                    delivery.requeue()
                    continue
                batch.append(delivery)
                bodies.append(body)
                size += len(body)
            sent += size
            try:
                seconds = deadline - clock.monotonic()
                if not batch or seconds <= 0 or sent > _MOST_IN_ALL:
                    raise TimeoutError("no time or room for copies")
                self._engine.publish_many(self._topic, bodies, timeout=seconds)
            except Exception as error:
                log.debug("%s/%s gives back by requeueing: %s", self._topic, self._channel, one_line(error))
                for delivery in [*batch, *left]:
                    delivery.requeue()
                return
            for delivery in batch:
                delivery.finish()

    def _copy(self, body: bytes, prior_attempts: int, deliver_at: float | None, *, adds: bool = False) -> bytes:
        copy: Envelope = decode(body, self._limits)
        if copy.replay_for is not None:
            if copy.replay_for != self._channel:
                raise DecodeError("a replay that is meant for another channel")
            if adds:
                prior_attempts += copy.prior_attempts
        copy.replay_for = self._channel
        copy.prior_attempts = min(max(prior_attempts, 0), MAX_COUNT)
        if deliver_at is not None:
            copy.deliver_at = deliver_at
        return rewrite(copy, body)
