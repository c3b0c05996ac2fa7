"""Link: how one process of a simulation reaches the broker. It dies with its process, and not the broker with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eventbus.engines.base import Receiver, Subscription, TopicStats
from eventbus.errors import NotSent
from eventbus.runtime.clock import Clock
from eventbus.testing.simulation.broker import HandBroker

Send = Callable[[str, bytes, Callable[[bytes], None]], None]
"""Told of each message before it is sent: topic, bytes, and what sends bytes."""


class Link:
    """An engine over a broker that outlives it."""

    scheme = "memory"
    counts_runs = True

    def __init__(self, broker: HandBroker, send: Send) -> None:
        self._broker = broker
        self._send = send
        self._subscriptions: list[Subscription] = []
        self.is_dead = False
        self.clock: Clock = broker.clock
        self.max_message_bytes = broker.max_message_bytes
        self.max_delay = broker.max_delay
        self.preferred: Mapping[str, Any] = {}

    def publish(self, topic: str, body: bytes, *, delay: float, timeout: float) -> None:
        self._check()
        self._send(topic, body, lambda sent: self._broker.publish(topic, sent, delay=delay, timeout=timeout))

    def publish_many(self, topic: str, bodies: Sequence[bytes], *, timeout: float) -> None:
        for body in bodies:
            self.publish(topic, body, delay=0.0, timeout=timeout)

    def publish_foreign(self, topic: str, body: bytes, *, timeout: float) -> None:
        self.publish(topic, body, delay=0.0, timeout=timeout)

    def _check(self) -> None:
        if self.is_dead:
            raise NotSent("the process has died")

    def die(self) -> None:
        """Give back what is held, and answer and send nothing any more."""
        self.is_dead = True
        self.close()

    def declare(self, topic: str, channels: Sequence[str] = (), *, anew: bool = False) -> Sequence[str]:
        return self._broker.declare(topic, channels, anew=anew)

    def late_for(self, topic: str) -> float:
        return 0.0

    def limit_bytes(self, count: int) -> None:
        pass

    def subscribe(
        self, topic: str, channel: str, receiver: Receiver, *, max_in_flight: int, message_timeout: float, client: str = ""
    ) -> Subscription:
        made = self._broker.subscribe(topic, channel, receiver, max_in_flight=max_in_flight, message_timeout=message_timeout)
        self._subscriptions.append(made)
        return made

    def ping(self, *, timeout: float) -> None:
        pass

    def stats(self) -> dict[str, TopicStats]:
        return self._broker.stats()

    def pause(self, topic: str, channel: str | None = None) -> None:
        self._broker.pause(topic, channel)

    def resume(self, topic: str, channel: str | None = None) -> None:
        self._broker.resume(topic, channel)

    def empty(self, topic: str, channel: str | None = None) -> None:
        self._broker.empty(topic, channel)

    def close(self) -> None:
        for each in self._subscriptions:
            each.close()

    def abandon(self) -> None:
        self.die()
