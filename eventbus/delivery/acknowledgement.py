"""Acknowledgement: what becomes of a delivery that is not handled, or whose handler did not simply return.

Retried by requeueing, postponed, or parked as a dead letter and only then finished. Whatever fails on the way there puts the
delivery back; none of these ways loses one.
"""

from __future__ import annotations

import logging
from collections import Counter

from eventbus.dead_letters.parking import park
from eventbus.delivery.interrupts import Interrupt, StopInterrupt
from eventbus.delivery.outcome_log import OutcomeLog
from eventbus.delivery.received import Received, Source
from eventbus.engines.base import Delivery
from eventbus.errors import HandlerTimeoutError, Reject, RetryLater
from eventbus.handlers.binding import Binding
from eventbus.middleware import Middleware, Outcome
from eventbus.runtime.redaction import one_line
from eventbus.wire.codec import CODECS, decode
from eventbus.wire.envelope import Envelope

log = logging.getLogger("eventbus.delivery")

EARLY_TOLERANCE = 0.005
"""Seconds before its time at which a delivery counts as due: engines count delays in milliseconds."""
AFTER_FAILED_PARKING = 5.0
"""Seconds before a delivery that could not be parked comes again."""


class Acknowledger:
    """Answers the deliveries of one dispatcher, counts the outcomes and tells middleware."""

    def __init__(self, source: Source, topic: str, middleware: tuple[Middleware, ...]) -> None:
        self.counts: Counter[Outcome] = Counter()
        self.under_way = 0
        """Failures that are being answered: parking one takes a moment."""
        self.observers = [each for each in middleware if each.wants("settled")]
        self.log = OutcomeLog(source.service.name, topic, source.service.channel, tracebacks=source.host.tracebacks)
        self._source = source
        self._host = source.host
        self._engine = source.host.engine
        self._topic = topic
        self._channel = source.service.channel
        self._inboxes = {
            binding.type_name: binding.inbox
            for binding in source.service.bindings
            if binding.topic == topic and binding.inbox is not None
        }

    def is_due(self, delivery: Delivery, envelope: Envelope) -> bool:
        """Answer what is not for now or not for here; return whether it is to be handled."""
        if envelope.replay_for is not None and envelope.replay_for != self._channel:
            delivery.finish()
            self.settled(Outcome.SKIPPED, envelope, delivery)
            return False
        now = self._engine.clock.time()
        if envelope.expires_at is not None and envelope.expires_at <= now:
            delivery.finish()
            self.log.write(logging.INFO, "expired", envelope, delivery.attempts)
            self.settled(Outcome.EXPIRED, envelope, delivery)
            return False
        if envelope.deliver_at is not None and envelope.deliver_at - now > EARLY_TOLERANCE:
            self.defer(delivery, envelope, envelope.deliver_at, envelope.prior_attempts)
            self.settled(Outcome.EARLY, envelope, delivery)
            return False
        return True

    def leave_unhandled(self, delivery: Delivery, envelope: Envelope) -> None:
        """Answer an event of a type that no handler is bound to."""
        if self._source.service.unhandled == "park":
            self.park(delivery, envelope, f"unhandled: no handler for {envelope.type}", None, delivery.attempts)
        else:
            delivery.finish()
            self.log.write(logging.DEBUG, "unhandled", envelope, delivery.attempts)
            self.settled(Outcome.UNHANDLED, envelope, delivery)

    def failed(self, binding: Binding, item: Received, error: BaseException) -> bool:
        """Answer a delivery whose handler raised; return whether that speaks against the channel as a whole."""
        self.under_way += 1
        try:
            return self._answer_failure(binding, item, error)
        finally:
            self.under_way -= 1

    def _answer_failure(self, binding: Binding, item: Received, error: BaseException) -> bool:
        delivery, envelope, attempt = item.delivery, item.envelope, item.attempt
        if isinstance(error, StopInterrupt):
            delivery.requeue()
            self.log.write(logging.WARNING, "returned", envelope, attempt, f"{binding.name} outlived the grace of the stop")
            self.settled(Outcome.RETURNED, envelope, delivery, error)
            return False
        if isinstance(error, Interrupt):
            place = error.__traceback__  # where it was when its time was up
            error = HandlerTimeoutError(f"{binding.name} ran longer than {binding.timeout:g} s and was interrupted")
            error.__traceback__ = place
        if isinstance(error, Reject):
            self.park(delivery, envelope, f"rejected: {error.reason}", None, attempt)
            return False
        if isinstance(error, RetryLater) and attempt < binding.retry.attempts:
            self._postpone(delivery, envelope, error.after, attempt)
            self.log.write(logging.INFO, "postponed", envelope, attempt, f"{binding.name} asks for it in {error.after:g} s")
            self.settled(Outcome.POSTPONED, envelope, delivery)
            return False
        if not binding.retry.retries(error):
            self.park(delivery, envelope, f"rejected: {type(error).__name__}", error, attempt)
            return False
        if attempt >= binding.retry.attempts:
            self.park(delivery, envelope, f"attempts used up: {attempt}", error, attempt)
            return True
        delay = binding.retry.delay(attempt, draw=self._host.randomness.random)
        self.log.write(
            logging.WARNING,
            "retried",
            envelope,
            attempt,
            f"{binding.name} failed, again in {delay:.3g} s, at most {binding.retry.attempts} attempts",
            error,
        )
        self._postpone(delivery, envelope, delay, attempt)
        self.settled(Outcome.RETRIED, envelope, delivery, error)
        return True

    def _postpone(self, delivery: Delivery, envelope: Envelope, seconds: float, attempt: int) -> None:
        if seconds <= self._engine.max_delay:
            delivery.requeue(seconds)
        else:
            self.defer(delivery, envelope, self._engine.clock.time() + seconds, attempt)

    def defer(self, delivery: Delivery, envelope: Envelope, deliver_at: float, prior_attempts: int) -> None:
        """Put a copy in the place of the delivery: for this channel alone, due at `deliver_at`.

        A requeue could not say how many of its attempts were spent on waiting, nor wait longer than the engine can.
        """
        wait = min(max(deliver_at - self._engine.clock.time(), 0.0), self._engine.max_delay)
        copy = decode(delivery.body)
        copy.replay_for = self._channel
        copy.deliver_at = deliver_at
        copy.prior_attempts = prior_attempts
        codec = CODECS["json" if delivery.body[:1] == b"{" else "msgpack"]()
        try:
            self._engine.publish(self._topic, codec.encode(copy), delay=wait, timeout=self._host.publish_timeout)
        except Exception as error:
            log.warning(
                "%s could not be deferred by a copy (%s); requeued for %.3g s", one_line(repr(envelope)), error, wait
            )
            delivery.requeue(wait)
        else:
            delivery.finish()

    def park(
        self, delivery: Delivery, envelope: Envelope | None, reason: str, error: BaseException | None, attempts: int
    ) -> None:
        """Make a dead letter of the delivery, then finish it; where that fails, put it back."""
        try:
            park(
                self._engine,
                delivery,
                topic=self._topic,
                channel=self._channel,
                service=self._source.service.name,
                reason=reason,
                error=error,
                attempts=attempts,
                envelope=envelope,
                timeout=self._host.publish_timeout,
                randomness=self._host.randomness,
            )
        except Exception as failure:
            self.log.write(logging.ERROR, "returned", envelope, attempts, "could not be parked, put back", failure)
            delivery.requeue(AFTER_FAILED_PARKING)
            self.settled(Outcome.RETURNED, envelope, delivery, failure)
            return
        inbox = None if envelope is None else self._inboxes.get(envelope.type)
        if inbox is not None and envelope is not None:
            inbox.parked(self._source.make_context(envelope, delivery, attempts))
        delivery.finish()
        self.log.write(logging.ERROR, "parked", envelope, attempts, reason, error)
        self.settled(Outcome.PARKED, envelope, delivery, error)

    def settled(
        self, outcome: Outcome, envelope: Envelope | None, delivery: Delivery, error: BaseException | None = None
    ) -> None:
        """Count an outcome and tell middleware."""
        self.counts[outcome] += 1
        if not self.observers:
            return
        seen = envelope or Envelope("", "", "", "", None)
        context = self._source.make_context(seen, delivery, delivery.attempts)
        for observer in self.observers:
            try:
                observer.settled(outcome, context, error)
            except Exception:  # an observer's fault is not the delivery's
                log.exception("middleware %r failed in settled()", observer)
