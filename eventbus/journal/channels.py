"""Channels: a copy of each event, from a channel of the journal's own on each topic, whatever the engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any

import gevent

from eventbus.bus import Bus
from eventbus.engines.base import Delivery, Subscription
from eventbus.errors import EventBusError
from eventbus.journal.entries import Entry, read_entry
from eventbus.journal.taking import MOST_TAKEN, MOST_TAKEN_BYTES, Taken
from eventbus.journal.topics import CHANNEL, has_place, is_wanted
from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.journal")

_IN_FLIGHT = 2500
"""Deliveries that each subscription holds at most: nsqd's own limit."""
_SUBSCRIPTIONS = 2
"""Of each topic, so that one brings what is new while what came from the other is written."""
_TIMEOUT = 60.0
_LOOK_AGAIN = 2.0


class ChannelSource:
    """A `Source` of what is published from now on; what lies in its channels from before comes first.

    Args:
        bus: whose topics.
        topics: their names; all, and those that come later, if empty.
        with_bodies: whether messages are kept whole.
    """

    def __init__(self, bus: Bus, topics: Collection[str] = (), *, with_bodies: bool = False) -> None:
        self._bus = bus
        self._named = frozenset(topics)
        self._with_bodies = with_bodies
        self._joined: dict[str, list[Subscription]] = {}
        self._told: set[str] = set()
        self._arrived: deque[tuple[Delivery, Entry | None]] = deque()
        self._wake: Callable[[], None] = lambda: None
        self._finder: Any = None

    @property
    def topics(self) -> Sequence[str]:
        """Those that are journalled now."""
        return sorted(self._joined)

    def start(self, wake: Callable[[], None]) -> None:
        """Join the topics that are there, and look for more again and again."""
        self._wake = wake
        self._finder = gevent.spawn(self._find_again_and_again)

    def take(self) -> Taken | None:
        """Return what arrived."""
        taken: list[tuple[Delivery, Entry | None]] = []
        room = MOST_TAKEN_BYTES
        while self._arrived and len(taken) < MOST_TAKEN and room > 0:
            taken.append(self._arrived.popleft())
            room -= len(taken[-1][0].body)
        if not taken:
            return None
        entries = [entry for _, entry in taken if entry is not None]

        def done() -> None:
            for delivery, _ in taken:
                delivery.finish()

        return Taken(entries, len(taken) - len(entries), done)

    def close(self) -> None:
        """Leave the channels."""
        if self._finder is not None:
            self._finder.kill()
        for subscriptions in self._joined.values():
            for each in subscriptions:
                each.close()
        self._joined.clear()
        self._arrived.clear()

    def _find_again_and_again(self) -> None:
        is_told = False
        while True:
            try:
                self._find()
                is_told = False
            except EventBusError as error:  # a broker that is away comes back
                log.log(10 if is_told else 30, "topics cannot be found: %s", error)
                is_told = True
            gevent.sleep(_LOOK_AGAIN)

    def _find(self) -> None:
        for topic, there in sorted(self._bus.engine.stats().items()):
            if topic in self._joined or not is_wanted(topic, self._named):
                continue
            if CHANNEL in there.channels or has_place(there, is_named=topic in self._named):
                self._join(topic)
            elif topic not in self._told:
                self._told.add(topic)
                log.warning("topic %s is left alone until a service has its channel there", topic)

    def _join(self, topic: str) -> None:
        self._bus.engine.declare(topic, [CHANNEL])
        joined = self._joined[topic] = []
        for _ in range(_SUBSCRIPTIONS):
            joined.append(
                self._bus.engine.subscribe(
                    topic, CHANNEL, self._receiver(topic), max_in_flight=_IN_FLIGHT, message_timeout=_TIMEOUT
                )
            )
        log.info("topic %s is journalled", topic)

    def _receiver(self, topic: str) -> Callable[[Sequence[Delivery]], None]:
        def receive(deliveries: Sequence[Delivery]) -> None:
            # read here and not in `take`: a database that writes leaves the processor alone
            for each in deliveries:
                entry = read_entry(topic, each.body, each.timestamp, with_body=self._with_bodies)
                self._arrived.append((each, entry))
            self._wake()

        return receive
