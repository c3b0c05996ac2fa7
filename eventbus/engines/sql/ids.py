"""Ids: where a message lies. The topic's number and a number within the topic make one integer, so that the log's primary
key keeps each topic together and in order, and needs no second index."""

from __future__ import annotations

_BITS = 40
"""Of the number within a topic: a million messages a second for twelve days; a topic's number has 23."""
MOST_TOPICS = 1 << 23


def base(topic: int) -> int:
    """Return the id before the first message of a topic."""
    return topic << _BITS


def end(topic: int) -> int:
    """Return the highest id that a message of a topic can have."""
    return ((topic + 1) << _BITS) - 1


def topic_of(message: int) -> int:
    """Return the number of the topic of a message."""
    return message >> _BITS
