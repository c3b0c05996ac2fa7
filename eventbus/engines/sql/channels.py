"""The channels that have subscribers in this process, and which of them to look at."""

from __future__ import annotations

import math
from collections.abc import Iterator

from eventbus.engines.sql import leasing
from eventbus.engines.sql.session import Backend, Session
from eventbus.engines.sql.subscription import Channel, SqlSubscription


class Channels:
    """Those of one store.

    Attributes:
        looks: channels to look at; True where it is sure that something is there.
    """

    def __init__(self) -> None:
        self.looks: dict[Channel, bool] = {}
        self._channels: dict[tuple[str, str], Channel] = {}
        self._by_topic: dict[str, list[Channel]] = {}

    def __iter__(self) -> Iterator[Channel]:
        return iter(list(self._channels.values()))

    def get(self, topic: str, name: str, number: int) -> Channel:
        """Return a channel, under the number that it has in the tables."""
        found = self._channels.get((topic, name))
        if found is None:
            found = self._channels[topic, name] = Channel(number, topic, name)
            self._by_topic.setdefault(topic, []).append(found)
        found.number = number
        return found

    def drop(self, channel: Channel, subscription: SqlSubscription) -> None:
        """Forget a subscription, and a channel that nobody here subscribes to any more."""
        if subscription in channel.subscriptions:
            channel.subscriptions.remove(subscription)
        if not channel.subscriptions and self._channels.get((channel.topic, channel.name)) is channel:
            del self._channels[channel.topic, channel.name]
            self._by_topic[channel.topic].remove(channel)

    def of_topic(self, topic: str) -> list[Channel]:
        """Return a topic's channels."""
        return self._by_topic.get(topic, [])

    def tokens(self) -> list[str]:
        """Return the tokens of all subscribers."""
        return [each.token for channel in self for each in channel.subscriptions]

    def note_due(self, wall: float, *, all_of_them: bool) -> None:
        """Have a look at the channels whose time has come at `wall`, or at all."""
        for channel in self._channels.values():
            if all_of_them or channel.next_due <= wall:
                channel.next_due = math.inf
                self.looks.setdefault(channel, False)

    def next_due(self) -> float:
        """Return when the first channel's time comes, in seconds since 1970."""
        return min((channel.next_due for channel in self._channels.values()), default=math.inf)

    def hungry(self) -> list[Channel]:
        """Return the channels to look at; who has no room now asks again when it has."""
        for channel in list(self.looks):
            if not any(each.room() > 0 for each in channel.subscriptions):
                del self.looks[channel]
                channel.is_drained = False
        return list(self.looks)

    def probe(self, backend: Backend) -> bool:
        """Find out, without a lock, which of the channels to look at have something; return whether any has."""

        def look(session: Session) -> list[tuple[Channel, bool, float]]:
            return [(channel, *leasing.may_take(session, channel.number)) for channel in self.looks]

        for channel, is_there, due in backend.read(look):
            if is_there:
                self.looks[channel] = True
            else:
                self.looks.pop(channel, None)
                channel.next_due = min(due, channel.next_due)
                channel.is_drained = True
        return bool(self.looks)
