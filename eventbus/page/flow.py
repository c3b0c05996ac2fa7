"""Flow: topics, channels and who publishes, as the page draws them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from eventbus.engines.base import ChannelStats, TopicStats
from eventbus.names import EPHEMERAL, PARKED, is_dead_letter_topic, is_internal
from eventbus.page.activity import QUIET, Activity
from eventbus.page.rates import Rates

_DEAD, _DONE = ".dead", ".done"
"""Ends of the topics of a channel's dead letters, and of what became of them."""


def dead_of(stats: Mapping[str, TopicStats], topic: str) -> int:
    """Return how many letters lie on a dead-letter topic."""
    there = stats.get(topic)
    if there is None:
        return 0
    parked = there.channels.get(PARKED)
    return there.depth + (parked.depth + parked.in_flight + parked.deferred if parked else 0)


def flow_of(stats: Mapping[str, TopicStats], rates: Rates, activity: Activity = QUIET) -> dict[str, Any]:
    """Return the flow as JSON types: topics with their publishers and channels, what waits, and problems in words."""
    places = {_place(topic, channel) for topic, there in stats.items() for channel in there.channels}
    topics: list[dict[str, Any]] = [
        {
            "name": name,
            "depth": topic.depth,
            "paused": topic.is_paused,
            "internal": is_internal(name) or (name.endswith(_DONE) and name.removesuffix(_DONE) in places),
            "in": round(rates.published.get(name, 0.0), 2),
            "messages": topic.messages,
            "publishers": _publishers(activity.publishers.get(name, {})),
            "channels": [
                _channel(name, channel_name, channel, stats, rates, activity)
                for channel_name, channel in sorted(topic.channels.items())
            ],
        }
        for name, topic in sorted(stats.items())
        if not is_dead_letter_topic(name)
    ]
    lost = [(name, dead_of(stats, name)) for name in sorted(stats) if is_dead_letter_topic(name)]
    orphans = [{"name": name, "dead": dead} for name, dead in lost if dead and name.removesuffix(_DEAD) not in places]
    shown = [each for each in topics if not each["internal"]]
    return {
        "topics": topics,
        "orphans": orphans,
        "services": sorted(activity.services | {each["name"] for topic in shown for each in topic["channels"]}),
        "problems": list(_problems(shown, orphans)),
    }


def _publishers(rates: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"name": source, "rate": round(rate, 2)} for source, rate in sorted(rates.items())]


def _channel(
    topic: str, name: str, channel: ChannelStats, stats: Mapping[str, TopicStats], rates: Rates, activity: Activity
) -> dict[str, Any]:
    key = topic, name
    work = activity.work.get(key)
    requeued = rates.requeued.get(key, 0.0)
    return {
        "name": name,
        "depth": channel.depth,
        "in_flight": channel.in_flight,
        "deferred": channel.deferred,
        "consumers": channel.subscribers,
        "replicas": sorted(work.instances) if work else [],
        "running": round(work.running, 2) if work else None,
        "out": round(rates.handled.get(key, 0.0), 2),
        "retry": round(requeued, 2),
        "dead": dead_of(stats, _place(topic, name) + _DEAD),
        "state": _state(channel, requeued, activity.waits.get(key)),
    }


def _place(topic: str, channel: str) -> str:
    """Return what the names of a channel's own topics begin with; names of others may be longer than ours are."""
    return f"{topic.removesuffix(EPHEMERAL)}.{channel.removesuffix(EPHEMERAL)}"


def _state(channel: ChannelStats, requeued: float, waits: str | None) -> str:
    """Return a channel's state in a word or two."""
    if channel.is_paused:
        return "paused"
    if not channel.subscribers:
        return "nobody listens"
    if waits is not None and not channel.in_flight:
        return "backing off"
    return "retrying" if requeued or waits is not None else "ok"


def _problems(topics: Iterable[Mapping[str, Any]], orphans: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for topic in topics:
        if topic["paused"]:
            yield f"{topic['name']} is paused"
        if not topic["channels"] and topic["depth"]:
            yield f"{topic['name']}: {topic['depth']:,} wait and no channel is bound"
        for channel in topic["channels"]:
            place = f"{topic['name']}/{channel['name']}"
            if channel["dead"]:
                yield f"{place}: {channel['dead']:,} dead letters"
            if channel["state"] in ("paused", "backing off"):
                yield f"{place} {channel['state']}"
            elif channel["state"] == "nobody listens" and channel["depth"]:
                yield f"{place}: {channel['depth']:,} wait and nobody listens"
    for each in orphans:
        yield f"{each['name']}: {each['dead']:,} dead letters, and its channel is gone"
