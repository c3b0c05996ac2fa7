"""Topics: which of a bus belong into a journal."""

from __future__ import annotations

from collections.abc import Collection

from eventbus.engines.base import TopicStats
from eventbus.names import is_dead_letter_topic, is_ephemeral, is_internal

CHANNEL = "journal"
"""The channel that a journal takes its copies from; several processes with the same database share it."""


def is_wanted(topic: str, named: Collection[str]) -> bool:
    """Whether a topic belongs into a journal: one that was named, or without names any that services publish to.

    Dead letters are left out (that an event was parked is told by a record), and what vanishes by itself.
    """
    if named:
        return topic in named
    return not (is_ephemeral(topic) or is_internal(topic) or is_dead_letter_topic(topic))


def has_place(there: TopicStats, *, is_named: bool) -> bool:
    """Whether the journal may join a topic now.

    A topic keeps its messages for its first channel. A journal that came first would get what a service, which is still to
    come, was meant to get: so it waits until somebody else is there, or where the topic was named, until it is empty.
    """
    others = [each for each in there.channels if not is_ephemeral(each)]
    return bool(others) or (is_named and not there.depth)
