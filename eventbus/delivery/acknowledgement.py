"""Acknowledgement: what becomes of a delivery that is not handled, or whose handler did not simply return.

Retried by requeueing, postponed, or parked as a dead letter and only then finished. Whatever fails on the way there puts the
delivery back; none of these ways loses one.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence

from eventbus.dead_letters.bounds import DeadLetterBounds
from eventbus.dead_letters.holding import ParkedLetters
from eventbus.dead_letters.parking import Parker, Parking
from eventbus.delivery.deferral import Deferral
from eventbus.delivery.inboxes import Inboxes
from eventbus.delivery.interrupts import Interrupt, StopInterrupt
from eventbus.delivery.observers import Observers
from eventbus.delivery.outcome_log import OutcomeLog
from eventbus.delivery.received import Received, Source
from eventbus.delivery.steering import Skips, waits_too_long
from eventbus.delivery.unhandled import UnhandledTypes
from eventbus.engines.base import Delivery
from eventbus.errors import HandlerTimeoutError, InboxUnavailableError, Reject, RetryLater
from eventbus.handlers.binding import Binding
from eventbus.middleware import Middleware, Outcome
from eventbus.runtime.guarded_log import guarded_log
from eventbus.runtime.redaction import text_of
from eventbus.runtime.tracebacks import stack_of
from eventbus.wire.envelope import Envelope

log = guarded_log("eventbus.delivery")

EARLY_TOLERANCE = 0.005
"""Seconds before its time at which a delivery counts as due: engines count delays in milliseconds."""
AFTER_A_FAULT = 5.0
"""Seconds before a delivery comes again that was ended by a fault which is not its handler's."""
_MOST_FAULTS = 8
"""Deliveries of one that meets such a fault each time, before it is parked."""
_APART = 2.0
"""Seconds over which the last attempts of events are spread that may have killed their process."""
_REMEMBERED = 10_000


class Acknowledger:
    """Answers the deliveries of one dispatcher."""

    def __init__(
        self, source: Source, topic: str, middleware: tuple[Middleware, ...], *, hold: Callable[[float], None]
    ) -> None:
        self.under_way = 0
        """Failures that are being answered: parking one takes a moment."""
        self.log = OutcomeLog(source.service.name, topic, source.service.channel, source.host)
        self.observers = Observers(middleware, source, self.log)
        self.settled = self.observers.settled
        self._skips = Skips(self.log, source.host.engine.clock.monotonic)
        self._source = source
        self._host = source.host
        self._engine = source.host.engine
        self._topic = topic
        self._channel = source.service.channel
        self._hold = hold
        self._inboxes = Inboxes(source, topic)
        self._unhandled = UnhandledTypes(source.service, topic)
        self._deferral = Deferral(self._engine, topic, self._channel, source.waits)
        self._failed_here: OrderedDict[str, int] = OrderedDict()
        """Failures of events that come again, by id: what this process itself saw of their attempts."""
        self._parker = Parker(
            self._engine,
            topic=topic,
            channel=self._channel,
            service=source.service.name,
            timeout=self._host.publish_timeout,
            randomness=self._host.randomness,
            bounds=DeadLetterBounds(
                self._host.max_dead,
                ParkedLetters(self._engine, topic, self._channel, timeout=self._host.publish_timeout).count,
                self._engine.clock.monotonic,
                f"{topic}/{self._channel}",
            ),
            keep=self._inboxes.keep,
            on_done=self._parked,
        )

    def is_due(self, delivery: Delivery, envelope: Envelope) -> bool:
        """Answer what is not for now or not for here; return whether it is to be handled."""
        if envelope.replay_for is not None and envelope.replay_for != self._channel:
            delivery.finish()
            self._skips.note(envelope, delivery.attempts)
            self.settled(Outcome.SKIPPED, envelope, delivery)
            return False
        if self._inboxes.is_stray_copy(envelope):
            delivery.finish()
            self._inboxes.answer(envelope, delivery)
            self.settled(Outcome.SKIPPED, envelope, delivery)
            return False
        now = self._engine.clock.time()
        if envelope.expires_at is not None and envelope.expires_at <= now:
            delivery.finish()
            self._inboxes.answer(envelope, delivery)
            self.log.write(logging.INFO, "expired", envelope, delivery.attempts)
            self.settled(Outcome.EXPIRED, envelope, delivery)
            return False
        if envelope.deliver_at is not None and envelope.deliver_at - now > EARLY_TOLERANCE:
            if self._deferral.wait(delivery, envelope.deliver_at - now):
                return False
            too_long = waits_too_long(envelope, now)
            if too_long:
                self.park(delivery, envelope, too_long, None, delivery.attempts)
                return False
            self.defer(delivery, envelope, envelope.deliver_at, envelope.prior_attempts)
            self.settled(Outcome.EARLY, envelope, delivery, again=envelope.deliver_at - now)
            return False
        return True

    def leave_unhandled(self, delivery: Delivery, envelope: Envelope) -> None:
        """Answer an event of a type that no handler is bound to."""
        if self._source.service.unhandled == "park":
            self.park(delivery, envelope, f"unhandled: no handler for {envelope.type}", None, delivery.attempts)
        else:
            delivery.finish()
            self._inboxes.answer(envelope, delivery)
            level, hint = self._unhandled.about(envelope.type)
            self.log.write(level, "unhandled", envelope, delivery.attempts, hint)
            self.settled(Outcome.UNHANDLED, envelope, delivery)

    def may_begin(self, binding: Binding, delivery: Delivery, envelope: Envelope, attempt: int) -> bool:
        """Answer a delivery whose attempts are used up before it begins; return whether it is to be handled.

        An engine that counts deliveries cannot tell a run whose process died from a delivery that nobody began, or whose
        neighbour killed the process. So before the last attempt a copy takes the place of the delivery whose count is known
        to be right, and which comes at a moment of its own, apart from those that were in flight with it. If that one comes
        a second time it has another chance of the same kind, and then no more.
        """
        limit, seen = binding.retry.attempts, self._failed_here.get(envelope.id, 0)
        is_copy = envelope.replay_for is not None and envelope.prior_attempts >= limit - 1
        if delivery.attempts == 1 and (attempt == limit or is_copy):
            return True
        if attempt == limit and (self._engine.counts_runs or seen >= limit - 1):
            return True
        if self._engine.counts_runs or seen >= limit or (is_copy and envelope.prior_attempts >= limit):
            reason = f"attempts used up: {limit}, and the last run did not end: its process died, or could not answer"
            self.park(delivery, envelope, reason, None, limit)
        else:
            prior = envelope.prior_attempts + 1 if is_copy else limit - 1
            self.defer(delivery, envelope, self._engine.clock.time() + 0.1 + _APART * self._host.randomness.random(), prior)
        return False

    def would_park(self, binding: Binding, item: Received, error: BaseException) -> bool:
        """Whether this failure is the end of the delivery."""
        if isinstance(error, StopInterrupt | InboxUnavailableError):
            return False
        if isinstance(error, Reject):
            return True
        if item.attempt >= binding.retry.attempts:
            return True
        return not isinstance(error, Interrupt | RetryLater) and not binding.retry.retries(error)

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
            self.settled(Outcome.RETURNED, envelope, delivery, error, attempt=attempt)
            return False
        if isinstance(error, Interrupt):
            place = error.__traceback__  # where it was when its time was up
            error = HandlerTimeoutError(f"{binding.name} ran longer than {binding.timeout:g} s and was interrupted")
            error.__traceback__ = place
        if isinstance(error, InboxUnavailableError):
            self._hold(error.after)
            self.log.write(logging.WARNING, "postponed", envelope, attempt, f"{error}; again in {error.after:.3g} s")
            self.defer(delivery, envelope, self._engine.clock.time() + error.after, attempt - 1)
            self.settled(Outcome.POSTPONED, envelope, delivery, attempt=attempt, again=error.after)
            return False
        if isinstance(error, Reject):
            self.park(delivery, envelope, f"rejected: {text_of(error.reason)}", None, attempt)
            return False
        if isinstance(error, RetryLater) and attempt < binding.retry.attempts:
            self._note_failure(envelope)
            self._postpone(delivery, error.after, attempt)
            self.log.write(logging.INFO, "postponed", envelope, attempt, f"{binding.name} asks for it in {error.after:g} s")
            self.settled(Outcome.POSTPONED, envelope, delivery, attempt=attempt, again=error.after)
            return False
        if not binding.retry.retries(error):
            self.park(delivery, envelope, f"rejected: {type(error).__name__}", error, attempt)
            return False
        self._note_failure(envelope)
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
        self._postpone(delivery, delay, attempt)
        self.settled(Outcome.RETRIED, envelope, delivery, error, attempt=attempt, again=delay)
        return True

    def _note_failure(self, envelope: Envelope) -> None:
        known = self._failed_here
        known[envelope.id] = known.pop(envelope.id, 0) + 1
        if len(known) > _REMEMBERED:
            known.popitem(last=False)

    def _postpone(self, delivery: Delivery, seconds: float, attempt: int) -> None:
        self._deferral.retry(delivery, seconds, attempt, timeout=self._host.publish_timeout)

    def defer(self, delivery: Delivery, envelope: Envelope, deliver_at: float, prior_attempts: int) -> None:
        """Put a copy in the place of the delivery: for this channel alone, due at `deliver_at`."""
        self._deferral.defer(delivery, deliver_at, prior_attempts, timeout=self._host.publish_timeout)

    def give_back(self, deliveries: Sequence[Delivery], *, timeout: float) -> None:
        """Give back what no handler began; may take `timeout` seconds."""
        self._deferral.give_back(deliveries, timeout=timeout)

    def broken(self, delivery: Delivery, envelope: Envelope | None, error: BaseException) -> None:
        """Answer a delivery that met a fault outside its handler. Never raises."""
        log.error(
            "a delivery on %s/%s could not be dispatched: %s",
            self._topic,
            self._channel,
            self.log.tell(error),
            extra={"stack": stack_of(error)},
        )
        self.observers.forget(delivery)
        try:
            if delivery.attempts >= _MOST_FAULTS:
                self.park(delivery, envelope, f"could not be dispatched: {type(error).__name__}", error, delivery.attempts)
            else:
                delivery.requeue(AFTER_A_FAULT)
        except BaseException:  # then it comes again by itself after the message timeout
            log.exception("a delivery on %s/%s could not even be put back", self._topic, self._channel)

    # -- parking ------------------------------------------------------------------------------------------------------

    def park(
        self, delivery: Delivery, envelope: Envelope | None, reason: str, error: BaseException | None, attempts: int
    ) -> None:
        """Make a dead letter of the delivery, then finish it, beside the workers; where that fails, put it back."""
        self.under_way += 1
        self._parker.park(Parking(delivery, envelope, reason, error, attempts))

    def parking(self) -> list[Delivery]:
        """Return what waits for its dead letter."""
        return self._parker.held()

    def give_up(self) -> None:
        """Put back what waits for its dead letter still."""
        self._parker.give_up()

    def dropped(self, letters: int) -> None:
        """Count dead letters that went because of their age."""
        self.observers.counts[Outcome.DROPPED] += letters

    def _parked(self, parking: Parking, failure: BaseException | None, pause: float) -> None:
        self.under_way -= 1
        delivery, envelope, attempts = parking.delivery, parking.envelope, parking.attempts
        if failure is not None:
            delivery.requeue(pause)
            self.log.write(
                logging.ERROR, "returned", envelope, attempts, f"could not be parked, put back for {pause:g} s", failure
            )
            self.settled(Outcome.RETURNED, envelope, delivery, failure, attempt=attempts, again=pause)
            return
        delivery.finish()
        outcome = Outcome.DROPPED if parking.is_dropped else Outcome.PARKED
        level = logging.WARNING if parking.is_dropped else logging.ERROR
        self.log.write(level, outcome.value, envelope, attempts, parking.reason, parking.error)
        self.settled(outcome, envelope, delivery, parking.error, attempt=attempts)
