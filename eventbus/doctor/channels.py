"""Checks of topics and channels: missing, orphaned, paused, growing, timing out, full of dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from eventbus.doctor.findings import Finding, fault, note, ok, warning
from eventbus.engines.base import ChannelStats, TopicStats
from eventbus.names import PARKED, is_dead_letter_topic, is_ephemeral, is_internal
from eventbus.service import Service

Stats = Mapping[str, TopicStats]

RECEIPTS = ".receipts"
"""End of the topics on which receipts come back to outboxes; their channels are called as the outboxes' services."""
_GROWTH = 10
"""Messages that a channel must have gained between two looks to be said to grow."""
_MANY_RETRIES = 0.5
"""Requeues for each message that came: more says that failures are repeated and not parked."""


def check_channels(before: Stats, after: Stats, seconds: float, services: Sequence[Service]) -> Iterator[Finding]:
    """Yield what is to be said of topics and channels, from two looks that lie `seconds` apart."""
    found = [
        *_declared(after, services),
        *_orphans(after, services),
        *_paused(after),
        *_growing(before, after, seconds),
        *_timeouts(after),
        *_retries(after),
        *_dead_letters(after),
    ]
    yield from found or [ok("channels", f"{sum(len(topic.channels) for topic in after.values())} channels, all well")]


def check_unread(before: Stats, after: Stats) -> Iterator[Finding]:
    """Yield the channels that keep messages in an engine's log since nobody reads them."""
    for topic, name, channel in _each(after):
        if (
            channel.depth
            and not channel.subscribers
            and not is_dead_letter_topic(topic)
            and _same(before, topic, name, channel)
        ):
            yield warning(
                "log",
                f"{channel.depth:,} messages of {topic}/{name} are kept for as long as nobody reads them",
                f"start its service, or throw them away: eventbus empty {topic} {name}",
            )


def _same(before: Stats, topic: str, name: str, channel: ChannelStats) -> bool:
    """Whether a channel had at least as much at the first look: nobody has taken any since."""
    there = before.get(topic)
    return there is not None and name in there.channels and there.channels[name].depth <= channel.depth


def _each(stats: Stats) -> Iterator[tuple[str, str, ChannelStats]]:
    for topic_name, topic in sorted(stats.items()):
        for name, channel in sorted(topic.channels.items()):
            yield topic_name, name, channel


def _declared(stats: Stats, services: Sequence[Service]) -> Iterator[Finding]:
    for service in services:
        missing = [topic for topic in service.topics if topic not in stats or service.channel not in stats[topic].channels]
        if missing:
            yield fault(
                "missing channels",
                f"{service.name} listens to {', '.join(missing)} on channel {service.channel}, which does not exist: what "
                f"is published now misses it",
                "eventbus declare, with your services, before anything publishes",
            )


def _orphans(stats: Stats, services: Sequence[Service]) -> Iterator[Finding]:
    known = {(topic, service.channel) for service in services for topic in service.topics}
    topics = {topic for topic, _ in known}
    names = {service.name for service in services}
    for topic, name, channel in _each(stats):
        is_known = (topic, name) in known or (topic.endswith(RECEIPTS) and name in names)
        if is_dead_letter_topic(topic) or is_ephemeral(name) or channel.subscribers or is_known:
            continue
        waits = channel.depth + channel.deferred
        if waits:
            yield warning(
                "orphan channels",
                f"nobody listens to channel {name} of {topic}, where {waits:,} messages wait: it fills the disk",
                f"start its service; if that is gone for good: eventbus empty {topic} {name}, and delete it in nsqadmin",
            )
        elif topic in topics:
            yield note("orphan channels", f"channel {name} of {topic} belongs to none of these services, and nobody listens")
    for name, topic_stats in sorted(stats.items()):
        if topic_stats.depth and not topic_stats.channels and name.endswith(RECEIPTS):
            yield note(
                "orphan channels",
                f"topic {name} keeps {topic_stats.depth:,} receipts of subscribers for the outbox that publishes "
                f"{name.removesuffix(RECEIPTS)}; it takes them when it starts with Receipts, and nothing need be done",
            )
        elif topic_stats.depth and not topic_stats.channels and not is_internal(name):
            yield warning(
                "orphan channels",
                f"topic {name} has {topic_stats.depth:,} messages and no channel: they wait for the first one",
                "eventbus declare, with the services that should get them",
            )


def _paused(stats: Stats) -> Iterator[Finding]:
    for name, topic in sorted(stats.items()):
        if topic.is_paused:
            yield warning("paused", f"topic {name} is paused; {topic.depth:,} messages wait", f"eventbus resume {name}")
    for topic_name, name, channel in _each(stats):
        if channel.is_paused:
            text = f"channel {name} of {topic_name} is paused; {channel.depth:,} messages wait"
            yield warning("paused", text, f"eventbus resume {topic_name} {name}")


def _growing(before: Stats, after: Stats, seconds: float) -> Iterator[Finding]:
    for topic, name, channel in _each(after):
        was = before[topic].channels.get(name) if topic in before else None
        if was is None or is_dead_letter_topic(topic) or not channel.subscribers:
            continue
        gained = channel.depth - was.depth
        if gained >= _GROWTH:
            yield warning(
                "growing depth",
                f"channel {name} of {topic} has {channel.depth:,} messages and gains {gained / seconds:,.0f} a second",
                "start more workers of its service, or raise the handlers' concurrency; look at its failures first",
            )


def _timeouts(stats: Stats) -> Iterator[Finding]:
    for topic, name, channel in _each(stats):
        if channel.timed_out and not is_dead_letter_topic(topic):
            yield warning(
                "timeouts",
                f"{channel.timed_out:,} deliveries of {topic} on channel {name} were not answered in time and went to "
                f"another worker: workers died, or handlers block the hub longer than the message timeout",
                "look for `blocks the hub` in the logs; raise EVENTBUS_MESSAGE_TIMEOUT above the longest block",
            )


def _retries(stats: Stats) -> Iterator[Finding]:
    for topic, name, channel in _each(stats):
        if is_dead_letter_topic(topic) or channel.messages < _GROWTH:
            continue
        share = channel.requeued / channel.messages
        if share > _MANY_RETRIES:
            yield warning(
                "failures",
                f"channel {name} of {topic} was given back {channel.requeued:,} times for {channel.messages:,} messages: "
                f"its handlers fail again and again, and what fails is not parked yet",
                "look at the logs for `retried`; raise Reject for what trying again does not mend",
            )


def _dead_letters(stats: Stats) -> Iterator[Finding]:
    for topic, parts in sorted(stats.items()):
        if not is_dead_letter_topic(topic):
            continue
        parked = parts.channels.get(PARKED)
        waits = parts.depth + (parked.depth + parked.in_flight if parked else 0)
        if waits:
            source, _, channel = topic.removesuffix(".dead").rpartition(".")
            text = f"{waits:,} dead letters of {source} on channel {channel}"
            yield warning("dead letters", text, f"eventbus dead list {source} {channel}")
        strangers = [name for name, each in parts.channels.items() if name != PARKED and not is_ephemeral(name)]
        for name in strangers:
            yield note("dead letters", f"{topic} also has channel {name}: it gets a copy of each dead letter from now on")
