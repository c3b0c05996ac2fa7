"""Faults for tests: a memory engine that delivers twice or out of order, forgets or is down, as a real broker may."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eventbus.engines.memory import MemoryEngine
from eventbus.engines.memory_channel import Channel
from eventbus.errors import NotSent, Rejected


class FaultyEngine(MemoryEngine):
    """The memory engine with a broker's bad days on request."""

    duplicates = 0
    """How many of the next messages are delivered twice."""
    losses: int = 0
    """How many of the next messages are confirmed and forgotten, as by nsqd when it crashes."""
    lost_receipts: int = 0
    """How many of the next messages with receipts are confirmed and forgotten."""
    refused: frozenset[str] = frozenset()
    """Topics of which every message is refused, as by a broker whose name rules or rights they hurt."""
    is_down: bool = False
    """Whether every publish fails, as when no broker can be reached."""
    order: Callable[[int], int] | None = None
    """Where set, what waits in a channel is shuffled with it: returns a whole number from 0 to its argument - 1."""

    def publish(self, topic: str, body: bytes, *, delay: float, timeout: float) -> None:
        if self.is_down:
            raise NotSent(f"publish to {topic!r}: the test holds the broker down")
        if topic in self.refused:
            raise Rejected(f"publish to {topic!r}: the test lets the broker refuse this topic")
        if self.lost_receipts and topic.endswith(".receipts"):
            self.lost_receipts -= 1
            return
        if self.losses and not topic.endswith((".dead", ".receipts")):
            self.losses -= 1
            return
        super().publish(topic, body, delay=delay, timeout=timeout)
        if self.duplicates and not topic.endswith(".dead"):
            self.duplicates -= 1
            super().publish(topic, body, delay=delay, timeout=timeout)

    def publish_many(self, topic: str, bodies: Sequence[bytes], *, timeout: float) -> None:
        for body in bodies:
            self.publish(topic, body, delay=0.0, timeout=timeout)

    def _put_in_channel(self, channel: Channel, body: bytes, accepted: float, due: float) -> None:
        super()._put_in_channel(channel, body, accepted, due)
        if self.order is not None and channel.is_paused:
            last = channel.ready.pop()
            channel.ready.insert(self.order(len(channel.ready) + 1), last)
