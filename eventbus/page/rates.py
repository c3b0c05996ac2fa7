"""Rates: how fast topics and channels went between two looks at a bus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eventbus.engines.base import ChannelStats, TopicStats


@dataclass(frozen=True, slots=True)
class Rates:
    """Changes per second between two looks.

    Attributes:
        published: of topics, by name.
        handled, requeued: of channels, by topic and name.
    """

    published: Mapping[str, float]
    handled: Mapping[tuple[str, str], float]
    requeued: Mapping[tuple[str, str], float]


NONE = Rates({}, {}, {})
"""Of a first look."""


def rates_between(before: Mapping[str, TopicStats], after: Mapping[str, TopicStats], seconds: float) -> Rates:
    """Return how fast things went between two looks. A broker that was restarted counts from zero, and not backwards."""
    published: dict[str, float] = {}
    handled: dict[tuple[str, str], float] = {}
    requeued: dict[tuple[str, str], float] = {}
    for name, topic in after.items():
        was = before.get(name)
        if was is None:
            continue
        published[name] = max(topic.messages - was.messages, 0) / seconds
        for channel_name, channel in topic.channels.items():
            old = was.channels.get(channel_name)
            if old is not None:
                key = name, channel_name
                handled[key] = max(_done(channel) - _done(old), 0) / seconds
                requeued[key] = max(channel.requeued - old.requeued, 0) / seconds
    return Rates(published, handled, requeued)


def _done(channel: ChannelStats) -> int:
    return channel.messages - channel.depth - channel.in_flight - channel.deferred
