"""Holding: look at the dead letters of one channel without taking them away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeAlias

import gevent
import gevent.event

from eventbus.dead_letters.letter import DeadLetter, read_letter
from eventbus.engines.base import Delivery, Engine, Subscription
from eventbus.errors import DecodeError
from eventbus.names import PARKED, check_name, dead_letter_topic
from eventbus.signing import signer_of
from eventbus.wire.codec import Limits

_HOLD = 1000  # deliveries a subscription holds at once; below nsqd's limit of 2,500
_HELD_FOR = 20.0  # seconds after which they come back when whoever holds them is killed; touched meanwhile
_QUIET = 0.5  # seconds without an arrival, after which another subscription may bring more

Held: TypeAlias = list[tuple[Delivery, DeadLetter]]


class ParkedLetters:
    """What lies on one dead-letter topic.

    Args:
        timeout: seconds for the engine to be told that a subscription ends.
    """

    def __init__(self, engine: Engine, topic: str, channel: str, *, timeout: float) -> None:
        self.topic = check_name(topic, kind="topic")
        self.channel = check_name(channel, kind="channel")
        self.dead_topic = dead_letter_topic(topic, channel)
        self._engine = engine
        self._signer = signer_of(engine)
        self._timeout = timeout

    def count(self) -> int:
        """Return how many dead letters there are."""
        topic = self._engine.stats().get(self.dead_topic)
        if topic is None:
            return 0
        parked = topic.channels.get(PARKED)
        return topic.depth + (parked.depth + parked.in_flight + parked.deferred if parked else 0)

    @contextmanager
    def hold(self, limit: int) -> Iterator[Held]:
        """Hold up to `limit` parked deliveries; what is not finished inside goes back when the block ends."""
        expected = min(limit, self.count())
        if not expected:
            yield []
            return
        changed = gevent.event.Event()
        order: list[Delivery] = []

        def receive(batch: Any) -> None:
            order.extend(batch)
            changed.set()

        subscriptions: list[Subscription] = []

        def keep() -> None:
            while True:
                gevent.sleep(_HELD_FOR / 4)
                for delivery in order:
                    delivery.touch()  # ignored where it is finished

        keeper = gevent.spawn(keep)

        def join() -> None:
            subscriptions.append(
                self._engine.subscribe(self.dead_topic, PARKED, receive, max_in_flight=_HOLD, message_timeout=_HELD_FOR)
            )

        # several brokers share what one subscription may hold, so the letters of one may need more of them
        most = 2 + 8 * (expected // _HOLD)
        try:
            join()
            while len(order) < expected:
                changed.clear()
                if changed.wait(_QUIET):
                    continue
                if len(subscriptions) >= most:
                    break  # somebody else holds the rest, or took it
                join()
            yield self._read(order[:expected])
        finally:
            keeper.kill()
            for subscription in subscriptions:
                subscription.stop(timeout=self._timeout)
            for delivery in order:
                delivery.requeue()  # ignored where it is finished
            for subscription in subscriptions:
                subscription.close()

    def _read(self, deliveries: Sequence[Delivery]) -> Held:
        """Read the letters; finish copies of one that its database sent again, since it seemed lost."""
        limits = Limits(max_bytes=self._engine.max_message_bytes)
        held: Held = []
        kept: set[bytes] = set()
        for delivery in deliveries:
            letter = read_letter(
                delivery.body, topic=self.topic, channel=self.channel, timestamp=delivery.timestamp, limits=limits
            )
            if letter.is_kept and delivery.body in kept:
                delivery.finish()
                continue
            if letter.is_kept:
                kept.add(delivery.body)
            held.append((delivery, letter if self._signer is None else replace(letter, proof=self._proof(letter))))
        return held

    def _proof(self, letter: DeadLetter) -> str:
        """Return whose word the event of a letter is."""
        assert self._signer is not None
        try:
            return self._signer.proof(self.topic, letter.envelope())
        except DecodeError:
            return "no event"
