"""Listening: ask all services of a bus to tell what becomes of their deliveries, and take what they tell.

Who listens says so again and again, by a small message that is forgotten soon; who tells stops when nothing of the kind
came for a while. So nothing is turned on or off anywhere, and a listener that died costs nobody anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import gevent

from eventbus.engines.base import Delivery
from eventbus.errors import DecodeError, EventBusError
from eventbus.names import EPHEMERAL
from eventbus.outcomes.batch import MOST_BYTES, Batch, read_batch
from eventbus.outcomes.record import TOPIC
from eventbus.runtime.guarded_log import guarded_log
from eventbus.signing import signer_of
from eventbus.wire.codec import CODECS, Limits, decode
from eventbus.wire.envelope import Envelope
from eventbus.wire.identity import InstantWriter, new_id

if TYPE_CHECKING:
    from eventbus.bus import Bus

log = guarded_log("eventbus.outcomes")

CALLS = f"eventbus.listening{EPHEMERAL}"
"""The topic on which listeners say that they are there."""
CALL = "eventbus.Listening"
EVERY = 2.0
"""Seconds between two calls of a listener."""
LASTS = 7.0
"""Seconds after the last call for which services tell."""
_HELD = 50
_TIMEOUT = 60.0


def is_believed(bus: Bus, topic: str, body: bytes) -> bool:
    """Whether a message of these topics may be believed, where messages are signed; True where they are not."""
    signer = signer_of(bus.engine)
    if signer is None or signer.mode != "require":
        return True
    try:
        return signer.doubt(topic, decode(body, Limits(max_bytes=MOST_BYTES))) is None
    except DecodeError:
        return False


class Listening:
    """Listens until it is closed. Greenlets of the bus's own hub.

    Args:
        bus: whose services are asked; it need not have any itself.
        take: gets each batch, in a greenlet of its own; what it raises is logged.
        name: of the listener, for people who look at channels: letters, digits, `_` and `-`.

    Attributes:
        refused: messages that were no batches, or that are not believed.
    """

    def __init__(self, bus: Bus, take: Callable[[Batch], None], name: str) -> None:
        self.refused = 0
        self._bus = bus
        self._take = take
        self._name = name
        self._subscription: Any = None
        self._caller = gevent.spawn(self._call_again_and_again)

    def close(self) -> None:
        """Listen no more. Idempotent."""
        self._caller.kill()
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None

    def abandon(self) -> None:
        """In a forked child: the listening is the parent's."""
        self._caller.kill(block=False)

    def _call_again_and_again(self) -> None:
        is_told = False
        while True:
            try:
                self._listen()
                self._call()
                is_told = False
            except EventBusError as error:  # a broker that is away comes back
                log.log(10 if is_told else 30, "nobody is asked to tell of deliveries: %s", error)
                is_told = True
            gevent.sleep(EVERY)

    def _listen(self) -> None:
        if self._subscription is None:
            channel = f"{self._name}-{token_hex(4)}{EPHEMERAL}"
            self._bus.engine.declare(TOPIC, [channel])
            self._subscription = self._bus.engine.subscribe(
                TOPIC, channel, self._receive, max_in_flight=_HELD, message_timeout=_TIMEOUT
            )

    def _call(self) -> None:
        now = self._bus.engine.clock.time()
        call = Envelope(new_id(now), self._bus.source, CALL, InstantWriter().write(now), {"seconds": LASTS})
        body = CODECS["msgpack"]().encode(call)
        self._bus.engine.publish(CALLS, body, delay=0.0, timeout=self._bus.publish_timeout)

    def _receive(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            delivery.finish()  # what is missed here is no event
            try:
                if not is_believed(self._bus, TOPIC, delivery.body):
                    raise DecodeError("not believed")
                batch = read_batch(delivery.body)
            except DecodeError as error:
                self.refused += 1
                log.debug("no batch of outcomes: %s", error)
                continue
            gevent.spawn(self._hand_over, batch)

    def _hand_over(self, batch: Batch) -> None:
        try:
            self._take(batch)
        except Exception:
            log.exception("what services told could not be taken")


def listen(bus: Bus, take: Callable[[Batch], None], name: str) -> Listening:
    """Ask the services of a bus to tell of their deliveries, and hand each batch to `take` until the listening is closed."""
    return Listening(bus, take, name)
