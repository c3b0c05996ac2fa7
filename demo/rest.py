"""Rest: whether anything is still on its way. Outboxes and broker are asked, since no clock says that on a slow machine."""

from __future__ import annotations

from collections.abc import Iterable

from eventbus import Bus, EventBusError
from eventbus.sql import Outbox


class Rest:
    """Looks whether the scenario has come to rest.

    Args:
        bus: started, with its outboxes attached.
        topics: those of the scenario; a broker that others use too may be busy with theirs.
    """

    def __init__(self, bus: Bus, topics: Iterable[str]) -> None:
        self._bus = bus
        self._topics = frozenset(topics)

    def is_reached(self) -> bool:
        """Whether no handler runs, no outbox has a row to publish or to settle, and the broker holds nothing for a channel.

        A broker that does not say counts as one that holds something.
        """
        if not self._bus.is_idle:
            return False
        for part in self._bus.attachments:
            backlog = part.backlog() if isinstance(part, Outbox) else None
            if backlog is not None and (backlog.waiting or backlog.delayed or backlog.unsettled):
                return False
        try:
            there = self._bus.engine.stats()
        except EventBusError:
            return False
        topics = [topic for name, topic in there.items() if name in self._topics]
        channels = [channel for topic in topics for channel in topic.channels.values()]
        waits = any(each.depth or each.in_flight or each.deferred for each in channels)
        return not waits and not any(topic.depth for topic in topics) and self._bus.is_idle
