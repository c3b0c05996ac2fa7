"""Activity: what services told lately of their deliveries, by topic and channel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from eventbus.outcomes.record import Record


@dataclass(slots=True)
class Work:
    """What was done on one channel: by whom, and how many handlers ran at a time on average."""

    instances: set[str] = field(default_factory=set)
    running: float = 0.0


@dataclass(frozen=True, slots=True)
class Activity:
    """What was told within a span of time.

    Attributes:
        publishers: events a second that each service published, by topic.
        work: by topic and channel.
        waits: error type of the last failure, by topic and channel, where nothing was handled since.
        services: names of all that told anything.
    """

    publishers: Mapping[str, Mapping[str, float]]
    work: Mapping[tuple[str, str], Work]
    waits: Mapping[tuple[str, str], str]
    services: frozenset[str]


QUIET = Activity({}, {}, {}, frozenset())
"""Of services that tell nothing."""


def activity_of(records: Iterable[Record], seconds: float, known: Iterable[tuple[str, str]] = ()) -> Activity:
    """Return what these records of the last `seconds` say, told in the order of their ends.

    Args:
        known: topics and services that published there before; quiet ones have the rate 0.
    """
    published: dict[tuple[str, str, str], set[str]] = {}
    work: dict[tuple[str, str], Work] = {}
    waits: dict[tuple[str, str], str] = {}
    services: set[str] = set()
    for each in records:
        services.add(each.service)
        if each.source and not each.is_of_row:
            published.setdefault((each.topic, each.source, each.channel), set()).add(each.id)
        elif each.outcome == "published":
            published.setdefault((each.topic, each.service, ""), set()).add(each.id)
        if each.is_of_row:
            continue
        key = each.topic, each.channel
        done = work.setdefault(key, Work())
        done.instances.add(each.instance)
        done.running += max(each.end - each.begin, 0.0) / seconds
        if each.outcome == "handled":
            waits.pop(key, None)
        elif each.is_failure:
            waits[key] = each.error or each.outcome
    publishers: dict[str, dict[str, float]] = {}
    for topic, source in known:
        publishers.setdefault(topic, {})[source] = 0.0
    for (topic, source, _), ids in published.items():  # each channel tells of the same events
        of_topic = publishers.setdefault(topic, {})
        of_topic[source] = max(of_topic.get(source, 0.0), len(ids) / seconds)
    return Activity(publishers, work, waits, frozenset(services))
