"""Broker: the memory engine, with every delivery given by hand.

Channels of services stand still until the simulation gives one of their messages to one subscriber. What the library says
to itself (receipts, introductions) flows by itself, since no handler sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify

from eventbus.engines.memory import MemoryEngine, _Topic
from eventbus.engines.memory_channel import Channel, MemoryDelivery
from eventbus.wire.codec import decode
from eventbus.wire.envelope import Envelope

OWN = (".receipts", ".done", ".dead")
"""Ends of the topics on which the library speaks to itself."""
_LATE = 3600.0


@dataclass(slots=True)
class Waiting:
    """A message that waits for a service.

    Attributes:
        topic, channel: where.
        delivery: the message.
        envelope: what it is, or None for bytes that are no event.
    """

    topic: str
    channel: Channel
    delivery: MemoryDelivery
    envelope: Envelope | None


class HandBroker(MemoryEngine):
    """Delivers a message to a service when it is told to."""

    def _make_channel(self, topic: _Topic, name: str) -> Channel:
        channel = topic.channels.get(name)
        if channel is None:
            channel = super()._make_channel(topic, name)
            if not topic.name.endswith(OWN):
                channel.is_paused = True
        return channel

    def waiting(self) -> list[Waiting]:
        """Return what can be delivered now, in the order in which it came."""
        found = [
            Waiting(topic.name, channel, delivery, _envelope(delivery.body))
            for topic in self._topics.values()
            if not topic.name.endswith(OWN)
            for channel in topic.listed
            if channel.subscriptions
            for delivery in channel.ready
        ]
        found.sort(key=lambda each: (each.delivery.id, each.topic, each.channel.name))
        return found

    def deliver(self, waiting: Waiting, *, to: int = 0) -> None:
        """Give a message to one of the channel's subscribers, by its place."""
        channel = waiting.channel
        channel.ready.remove(waiting.delivery)
        channel.subscriptions[to % len(channel.subscriptions)].take([waiting.delivery], self.clock.monotonic())

    def repeat(self, waiting: Waiting) -> None:
        """Let a message come a second time, after what waits now."""
        delivery = MemoryDelivery(next(self._ids), waiting.delivery.body, self.clock.monotonic(), waiting.channel)
        waiting.channel.ready.append(delivery)

    def delay_retry(self, topic: str, channel: str, body: bytes) -> None:
        """Let a message that was just deferred on a channel come an hour later than that."""
        there = self._topics[topic].channels[channel]
        for place, (due, sequence, delivery) in enumerate(there._deferred):
            if delivery.body == body:
                there._deferred[place] = (due + _LATE, sequence, delivery)
                heapify(there._deferred)
                there._wait_until(there._deferred[0][0])
                return


def _envelope(body: bytes) -> Envelope | None:
    try:
        return decode(body)
    except Exception:
        return None
