"""Parking: deliveries that cannot be handled become dead letters on a topic of their channel's own, beside the workers.

Theory of operation. Who parks hands a delivery over and goes on. One greenlet for each channel takes all that wait, in
batches of bounded count and bytes, publishes each batch in one go, and then tells what became of each. So ten thousand
bad messages cost the good ones little, and a broker that hangs holds up what is parked and nothing else. The topic's
channel is declared beside it, once: a topic without channels keeps its messages, so no letter waits for a server that
does not answer.

Parking fails for the broker's faults alone: then the delivery is put back with a pause that grows as failures go on,
and once they have gone on for long it is said as loudly as a log can.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gevent

from eventbus.dead_letters.bounds import DeadLetterBounds
from eventbus.dead_letters.letter import write_letter
from eventbus.engines.base import Delivery, Engine
from eventbus.errors import Rejected
from eventbus.names import PARKED, dead_letter_topic
from eventbus.runtime.guarded_log import guarded_log
from eventbus.runtime.randomness import Randomness
from eventbus.runtime.redaction import one_line, text_of
from eventbus.wire.envelope import Envelope

log = guarded_log("eventbus.delivery")

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
"""Seconds before a delivery that could not be parked comes again, after the first failure and at most."""
LOUD_AFTER = 60.0
"""Seconds of failures after which each further one is critical."""
_MOST_LETTERS, _MOST_BYTES = 64, 1024 * 1024
"""Of one batch: little enough that the hub has its turn between two of them."""
_LINGER = 0.005
"""Seconds in which letters gather: parking is not urgent, and a batch costs the good events as much as a letter does."""
_DECLARE_AGAIN = 600.0
"""Seconds after which the channel is declared again where letters still come: a broker may have been wiped."""


@dataclass(slots=True, eq=False)
class Parking:
    """A delivery on its way to the dead letters.

    Attributes:
        envelope: of the event; None where the bytes are none.
        error: what a handler raised, if one did.
    """

    delivery: Delivery
    envelope: Envelope | None
    reason: str
    error: BaseException | None
    attempts: int
    is_dropped: bool = False
    """Whether it was only counted, since the channel has more dead letters than it may keep."""


class Parker:
    """Parks the deliveries of one channel.

    Args:
        keep: takes a letter over where a database keeps it and brings it to the broker itself; it is never dropped then.
        on_done: told of each delivery once; with None when its letter is confirmed or it was dropped, else with the
            fault and the seconds after which the delivery should come again. Must answer the delivery.
        timeout: seconds for the broker to confirm a batch.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        topic: str,
        channel: str,
        service: str,
        timeout: float,
        randomness: Randomness,
        bounds: DeadLetterBounds,
        keep: Callable[[Parking, bytes], bool],
        on_done: Callable[[Parking, BaseException | None, float], None],
    ) -> None:
        self.failures = 0
        """Batches in a row that the broker did not take."""
        self._engine = engine
        self._topic = topic
        self._channel = channel
        self._service = service
        self._dead_topic = dead_letter_topic(topic, channel)
        self._timeout = timeout
        self._randomness = randomness
        self._bounds = bounds
        self._keep = keep
        self._on_done = on_done
        self._waiting: deque[Parking] = deque()
        self._batch: list[Parking] = []
        self._is_running = False
        self._failing_since = 0.0
        self._declared_at: float | None = None

    def park(self, parking: Parking) -> None:
        """Take over a delivery; returns at once."""
        self._waiting.append(parking)
        if not self._is_running:
            self._is_running = True
            gevent.spawn(self._run)

    def held(self) -> list[Delivery]:
        """Return what has no confirmed letter yet."""
        return [each.delivery for each in (*self._batch, *self._waiting)]

    def give_up(self) -> None:
        """Put back what waits still."""
        while self._waiting:
            self._done(self._waiting.popleft(), gevent.GreenletExit("the bus stopped before its letter was written"), 0.0)

    def _run(self) -> None:
        try:
            while self._waiting:
                try:
                    self._declare_once()
                    if len(self._waiting) < _MOST_LETTERS:
                        gevent.sleep(_LINGER)
                    self._park_batch()
                except BaseException as error:  # a stray exception ends nothing here
                    log.warning("a stray %s reached the parking of %s", type(error).__name__, self._dead_topic)
                gevent.sleep(0)
        finally:
            self._is_running = False

    def _park_batch(self) -> None:
        batch = self._batch = []
        letters: list[tuple[Parking, bytes]] = []
        size = 0
        while self._waiting and len(batch) < _MOST_LETTERS and size < _MOST_BYTES:
            parking = self._waiting.popleft()
            batch.append(parking)
            try:
                body = self._letter(parking)
                if self._keep(parking, body):
                    self._done(parking, None, 0.0)
                    batch.pop()
                    continue
                parking.is_dropped = not self._bounds.admits(len(body), is_event=parking.envelope is not None)
            except BaseException as error:
                self._done(parking, error, FIRST_PAUSE)
                batch.pop()
                continue
            if not parking.is_dropped:
                letters.append((parking, body))
                size += len(body)
        try:
            if letters:
                self._publish(letters)
        except BaseException as error:
            self._put_back(batch, error)
        else:
            if letters:
                self.failures = 0
            for parking in batch:
                self._done(parking, None, 0.0)
        finally:
            self._batch = []

    def _letter(self, parking: Parking) -> bytes:
        return write_letter(
            parking.delivery,
            topic=self._topic,
            channel=self._channel,
            service=self._service,
            reason=parking.reason,
            error=parking.error,
            attempts=parking.attempts,
            envelope=parking.envelope,
            now=self._engine.clock.time(),
            max_bytes=self._engine.max_message_bytes,
            randomness=self._randomness,
        )

    def _publish(self, letters: Sequence[tuple[Parking, bytes]]) -> None:
        if len(letters) > 1:
            try:
                self._engine.publish_many(self._dead_topic, [body for _, body in letters], timeout=self._timeout)
            except Rejected:
                pass  # one of them, perhaps: each by itself
            else:
                return
        for parking, body in letters:
            try:
                self._engine.publish(self._dead_topic, body, delay=0.0, timeout=self._timeout)
            except Rejected:
                bare = parking.delivery.body
                if not len(bare) < len(body):
                    raise
                # the broker took these bytes once, and takes no more than them
                self._engine.publish_foreign(self._dead_topic, bare, timeout=self._timeout)

    def _put_back(self, batch: Sequence[Parking], error: BaseException) -> None:
        now = self._engine.clock.monotonic()
        if not self.failures:
            self._failing_since = now
        self.failures += 1
        pause = min(FIRST_PAUSE * 2.0 ** min(self.failures - 1, 16), LONGEST_PAUSE)
        lasted = now - self._failing_since
        if lasted >= LOUD_AFTER:
            log.critical(
                "dead letters of %s/%s cannot be parked on %r for %.0f s (%s): their deliveries go round, the next time in "
                "%.0f s; see that the broker has room and that this service may publish there",
                self._topic,
                self._channel,
                self._dead_topic,
                lasted,
                one_line(f"{type(error).__name__}: {text_of(error)}", most=200),
                pause,
            )
        for parking in batch:
            if parking.is_dropped:
                self._done(parking, None, 0.0)
            else:
                self._done(parking, error, pause)

    def _done(self, parking: Parking, error: BaseException | None, pause: float) -> None:
        try:
            self._on_done(parking, error, pause)
        except BaseException:
            log.exception("what became of a parked delivery of %s/%s could not be told", self._topic, self._channel)

    def _declare_once(self) -> None:
        now = self._engine.clock.monotonic()
        if self._declared_at is None or now - self._declared_at > _DECLARE_AGAIN:
            self._declared_at = now
            gevent.spawn(self._declare)
            gevent.sleep(0)  # an engine that asks nobody has done it by then

    def _declare(self) -> None:
        try:
            self._engine.declare(self._dead_topic, [PARKED])
        except Exception as error:
            # tried again a minute later; letters lie in the topic meanwhile
            self._declared_at = self._engine.clock.monotonic() - _DECLARE_AGAIN + LOUD_AFTER
            log.warning("channel %s of %s could not be declared yet: %s", PARKED, self._dead_topic, one_line(error))
