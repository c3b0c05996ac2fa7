"""Telling: what becomes of this process's deliveries and outbox rows, for whoever listens; nothing while nobody does.

Handlers are never held up: a record goes to a bounded list, a greenlet sends what is there each half second, and what
cannot be sent is dropped and counted. Where there is much to tell, whole chains are left out by a hash of their
correlation, the same everywhere, so that of those told nothing is missing. Failures are always told.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from secrets import token_hex
from typing import TYPE_CHECKING, Any
from zlib import crc32

import gevent

from eventbus.context import Context
from eventbus.engines.base import Delivery
from eventbus.errors import DecodeError, EventBusError, NotSent
from eventbus.middleware import Middleware, Outcome, RowState
from eventbus.names import EPHEMERAL, is_internal
from eventbus.outcomes.batch import MOST_BYTES, MOST_HALVINGS, Batch, write_batch
from eventbus.outcomes.listening import CALL, CALLS, LASTS, is_believed
from eventbus.outcomes.record import MAX_PLACE, TOPIC, Record
from eventbus.runtime.guarded_log import guarded_log
from eventbus.runtime.redaction import one_line
from eventbus.runtime.tracebacks import innermost_frame
from eventbus.wire.codec import decode
from eventbus.wire.envelope import MAX_NAME_LENGTH, Envelope
from eventbus.wire.identity import LAST_INSTANT, parse_instant

if TYPE_CHECKING:
    from eventbus.bus import Bus

log = guarded_log("eventbus.outcomes")

TELLERS = r"^tells-[0-9a-f]+\#ephemeral$"
"""Channels of those who tell, as a regular expression."""
_EVERY = 0.5
"""Seconds between two batches."""
_MUCH = 1000
"""Records of a batch above which fewer chains are told: two thousand a second of a process."""
_MOST = 4000
"""Records that wait for their batch; more are dropped."""
_AT_ONCE = 250
_TIMEOUT = 2.0
_AGAIN = 5.0
_TOLD_ANYWAY = frozenset({Outcome.HANDLED, Outcome.RETRIED, Outcome.PARKED, Outcome.DROPPED, Outcome.RETURNED})


class Telling(Middleware):
    """Give it to a bus as middleware, and attach it: `bus.attach(telling)`.

    Attributes:
        is_on: whether anybody listens.
        dropped: records that were left out since the beginning, sampling apart.
    """

    def __init__(self) -> None:
        self.is_on = False
        self.dropped = 0
        self._until = 0.0
        self._halvings = 0
        self._mask = 0
        self._records: list[Record] = []
        self._passed_over = 0
        self._untold = 0
        self._bus: Bus | None = None
        self._subscription: Any = None
        self._greenlets: list[Any] = []

    def wants(self, hook: str) -> bool:
        """Whatever is to be told, only while somebody listens."""
        return super().wants(hook) and self.is_on

    # -- as an attachment ---------------------------------------------------------------------------------------------

    def start(self, bus: Bus) -> None:
        """Look out for listeners from now on; a broker that is away is no fault here."""
        self._bus = bus
        self._greenlets = [gevent.spawn(self._subscribe), gevent.spawn(self._send_again_and_again)]

    def stop_intake(self) -> None:
        """What the last handlers do is told still."""

    def stop(self, timeout: float) -> None:
        """Send what is left, for `timeout` seconds at most, and tell no more."""
        gevent.killall(self._greenlets, timeout=timeout)
        if self.is_on:
            self._send(min(timeout, _TIMEOUT))
        self._turn(False)
        if self._subscription is not None:
            self._subscription.close()

    def abandon(self) -> None:
        """In a forked child: others tell."""
        gevent.killall(self._greenlets, block=False)
        self.is_on = False

    def is_idle(self) -> bool:
        """Nothing waits for what is told."""
        return True

    # -- listeners ----------------------------------------------------------------------------------------------------

    def _subscribe(self) -> None:
        assert self._bus is not None
        channel = f"tells-{token_hex(6)}{EPHEMERAL}"
        while True:
            try:
                self._bus.engine.declare(CALLS, [channel])
                self._subscription = self._bus.engine.subscribe(
                    CALLS, channel, self._called, max_in_flight=4, message_timeout=60.0
                )
                return
            except EventBusError as error:
                log.debug("calls of listeners cannot be heard: %s", error)
                gevent.sleep(_AGAIN)

    def _called(self, deliveries: Sequence[Delivery]) -> None:
        assert self._bus is not None
        for delivery in deliveries:
            delivery.finish()
            try:
                envelope = decode(delivery.body)
            except DecodeError:
                continue
            age = time.time() - delivery.timestamp
            if envelope.type == CALL and age < LASTS and is_believed(self._bus, CALLS, delivery.body):
                self._until = time.monotonic() + LASTS
                self._turn(True)

    def _turn(self, is_on: bool) -> None:
        if is_on == self.is_on or self._bus is None:
            return
        self.is_on = is_on
        for each in self._bus.dispatchers:
            each.ask_observers()
        if not is_on:
            self._records, self._passed_over, self._halvings, self._mask = [], 0, 0, 0

    # -- what is told -------------------------------------------------------------------------------------------------

    def passes_over(self, envelope: Envelope) -> bool:
        """Whether an event's chain is left out, since there is much to tell."""
        if self._mask and crc32(envelope.correlation_id.encode()) & self._mask:
            self._passed_over += 1
            return True
        return False

    def settled(self, outcome: Outcome, context: Context, error: BaseException | None) -> None:
        """Note what became of a delivery."""
        envelope = context.envelope
        if is_internal(context.topic) or self._is_full():
            return
        # what failed before, or is replayed, is told to its end; whether what was simply handled is told was asked before
        is_plain = context.attempt == 1 and envelope.replay_for is None and outcome not in _TOLD_ANYWAY
        if is_plain and self.passes_over(envelope):
            return
        end = time.time()
        begin = end
        if context.run is not None:
            ended = time.monotonic() - context.run[1]
            end -= ended
            begin = end - (context.run[1] - context.run[0])
        self._records.append(
            Record(
                outcome=outcome.value,
                topic=context.topic,
                channel=context.channel,
                service=context.service,
                instance=_told(context.instance),
                id=envelope.id,
                source=envelope.source,
                type=envelope.type,
                version=envelope.version,
                correlation=envelope.correlation_id or "",
                cause=envelope.causation_id,
                subject=envelope.subject,
                published=_published(envelope),
                attempt=max(context.attempt, 1),
                begin=begin,
                end=end,
                again=None if context.again is None else min(end + context.again, LAST_INSTANT - 1.0),
                error=None if error is None else _told(type(error).__name__),
                place=None if error is None else _told(innermost_frame(error) or "", MAX_PLACE) or None,
            )
        )

    def relayed(self, state: RowState, topic: str, bodies: Sequence[bytes]) -> None:
        """Note what happened to rows of an outbox."""
        if is_internal(topic):
            return
        now = time.time()
        for body in bodies:
            try:
                envelope = decode(body)
            except DecodeError:
                continue
            if self.passes_over(envelope) or self._is_full():
                continue
            published = _published(envelope)
            if state == "published" and published is not None:
                self._records.append(self._row("added", topic, envelope, published, published))
            self._records.append(self._row(state, topic, envelope, published, now))

    def _row(self, state: Any, topic: str, envelope: Envelope, published: float | None, now: float) -> Record:
        return Record(
            outcome=state,
            topic=topic,
            channel="",
            service=envelope.source,
            instance=envelope.source,
            id=envelope.id,
            source=envelope.source,
            type=envelope.type,
            version=envelope.version,
            correlation=envelope.correlation_id,
            cause=envelope.causation_id,
            subject=envelope.subject,
            published=published,
            attempt=0,
            begin=now,
            end=now,
        )

    def _is_full(self) -> bool:
        """Whether there is no room for another record; it is counted as dropped then."""
        if len(self._records) < _MOST:
            return False
        self._untold += 1
        self.dropped += 1
        return True

    # -- sending ------------------------------------------------------------------------------------------------------

    def _send_again_and_again(self) -> None:
        while True:
            gevent.sleep(_EVERY)
            if not self.is_on:
                continue
            self._send(_TIMEOUT)
            if time.monotonic() > self._until:
                self._turn(False)

    def _send(self, timeout: float) -> None:
        records, self._records = self._records, []
        seen = len(records) + self._passed_over + self._untold
        halvings, self._passed_over = self._halvings, 0
        self._halvings = _halvings(seen)
        self._mask = (1 << self._halvings) - 1
        deadline = time.monotonic() + timeout
        for first in range(0, len(records), _AT_ONCE):
            self._publish(records[first : first + _AT_ONCE], halvings, deadline)

    def _publish(self, records: Sequence[Record], halvings: int, deadline: float) -> None:
        """Publish until the monotonic `deadline`, which all of a sending have together: a stop waits for it."""
        assert self._bus is not None
        try:
            body = write_batch(Batch(self._bus.source, time.time(), records, halvings, self._untold))
            if len(body) > MOST_BYTES and len(records) > 1:
                half = len(records) // 2
                self._publish(records[:half], halvings, deadline)
                self._publish(records[half:], halvings, deadline)
                return
            timeout = deadline - time.monotonic()
            if timeout <= 0:
                raise NotSent("no time is left")
            self._bus.engine.publish(TOPIC, body, delay=0.0, timeout=timeout)
            self._untold = 0
        except EventBusError as error:
            self._untold += len(records)
            self.dropped += len(records)
            log.debug("%d outcomes are not told: %s", len(records), error)


def _halvings(seen: int) -> int:
    """Return how often the chains are to be halved, after half a second in which there was so much to tell."""
    return min(max(seen - 1, 0) // _MUCH, (1 << MOST_HALVINGS) - 1).bit_length()


@lru_cache(maxsize=256)
def _told(text: str, most: int = MAX_NAME_LENGTH) -> str:
    """Return a text that the program chose as any reader takes it: one that is refused would take its batch with it."""
    return one_line(text, most=most)[:most]


def _published(envelope: Envelope) -> float | None:
    try:
        return parse_instant(envelope.time, attribute="time")
    except DecodeError:
        return None
