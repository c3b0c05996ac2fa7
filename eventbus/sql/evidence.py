"""Evidence: whether the broker has lost what a channel has not answered for.

That an answer is missing says little: the event may wait behind a million others, be in a handler's hands, or wait for
its next attempt. Sent again on such a ground, each of them would come once more, and slow would become slower. So the
broker is asked. Three signs tell that something is gone:

- **too few**: the channel holds fewer messages than events wait for its answer. So many of them, the oldest, are candidates;
- **overtaken**: events that were published later are answered, and nothing is left that may lag behind: no message that
  waits for another attempt, and fewer in the handlers' hands than were overtaken;
- **a broker began anew** since they were published, and later ones are answered.

One look can err, since answers are on their way while one counts. So a candidate is one at two looks, some seconds apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from eventbus.engines.base import TopicStats

_LAG = 65.0
"""Seconds by which an event must be overtaken where handlers hold others: few handlers run longer."""


@dataclass(slots=True)
class Waiting:
    """An event that one channel has not answered for in time."""

    id: int
    published_at: float


@dataclass(frozen=True, slots=True)
class Held:
    """What the broker holds of one channel.

    Attributes:
        depth: messages that no subscriber has, of the topic too.
        lagging: messages that may be older than their place tells: in handlers' hands, or waiting for another attempt.
        deferred: those of them that wait for another attempt.
        started: when the broker that began last did, in seconds since 1970; 0 where it does not say.
    """

    depth: int
    lagging: int
    deferred: int
    started: float

    @property
    def total(self) -> int:
        """All messages."""
        return self.depth + self.lagging


def held(stats: dict[str, TopicStats], topic: str, channel: str) -> Held:
    """Return what the broker holds; nothing where topic or channel has vanished."""
    there = stats.get(topic)
    if there is None:
        return Held(0, 0, 0, 0.0)
    counts = there.channels.get(channel)
    if counts is None:
        return Held(there.depth, 0, 0, there.started)
    return Held(there.depth + counts.depth, counts.in_flight + counts.deferred, counts.deferred, there.started)


@dataclass(slots=True)
class Suspects:
    """What was a candidate at the last look, by topic and channel.

    Attributes:
        confirm: seconds between two looks that convict.
    """

    confirm: float
    _last: dict[tuple[str, str], tuple[float, frozenset[int]]] = field(default_factory=dict)

    def convict(self, place: tuple[str, str], candidates: list[int], now: float) -> tuple[list[int], bool]:
        """Return which candidates are lost, and whether another look is due soon."""
        before = self._last.get(place)
        if not candidates:
            self._last.pop(place, None)
            return [], False
        if before is None or now < before[0]:
            self._last[place] = (now, frozenset(candidates))
            return [], True
        if now - before[0] < self.confirm * 0.99:
            return [], True
        convicted = [each for each in candidates if each in before[1]]
        self._last[place] = (now, frozenset(candidates) - frozenset(convicted))
        return convicted, len(convicted) < len(candidates)


def candidates(waiting: list[Waiting], count: int, there: Held, horizon: float, timeout: float) -> list[int]:
    """Return which events the broker seems to have lost for a channel, the oldest first.

    Args:
        waiting: events without an answer in time, oldest first; there may be more of them.
        count: how many there are, at least up to one more than the broker holds.
        horizon: when the latest event was published that the channel has answered for.
        timeout: seconds after which an answer counts as missing.
    """
    few = count - there.total
    if few > 0:
        return [each.id for each in waiting[:few]]
    overtaken = [each for each in waiting if each.published_at < horizon - timeout]
    more = len(overtaken) - there.lagging
    if there.started and not there.deferred:
        gone = [each for each in overtaken if each.published_at < there.started]
        if gone:
            return [each.id for each in gone]
    if not there.deferred:
        late = [each.id for each in overtaken if each.published_at < horizon - max(_LAG, timeout)]
        if late:
            return late
    return [each.id for each in overtaken[:more]] if more > 0 else []
