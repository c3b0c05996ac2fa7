"""One subscriber of a channel, and the channel as this process knows it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

from eventbus.engines.base import Receiver
from eventbus.engines.sql.delivery import SqlDelivery, Taking
from eventbus.engines.sql.leasing import Ask
from eventbus.runtime.clock import Clock, Timer

_MARGIN = 0.5
"""Seconds after its time that a taking is left to a process that lives and puts it back itself."""


class Bytes:
    """What all subscriptions of one engine hold."""

    __slots__ = ("held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0


class Channel:
    """A channel with subscribers in this process.

    Attributes:
        number: in the tables.
        subscriptions: the front one's turn is next.
        next_due: wall-clock time from which there may be something again.
        is_drained: whether the last look found all there was.
    """

    def __init__(self, number: int, topic: str, name: str) -> None:
        self.number = number
        self.topic = topic
        self.name = name
        self.subscriptions: deque[SqlSubscription] = deque()
        self.next_due = math.inf
        self.is_drained = False

    def hungry(self) -> list[SqlSubscription]:
        """Return the subscriptions that have room, in turn, and pass the turn on."""
        found = [each for each in self.subscriptions if each.room() > 0]
        if len(self.subscriptions) > 1:
            self.subscriptions.rotate(-1)
        return found


class Settles(Protocol):
    """Requests, as far as a subscription needs them."""

    def settled(self, timeout: float) -> None: ...


class Keeper(Protocol):
    """What a subscription needs of the store."""

    clock: Clock

    def look_at(self, channel: Channel) -> None: ...

    def changed(self, taking: Taking) -> None: ...

    def left(self, subscription: SqlSubscription) -> None: ...

    @property
    def requests(self) -> Settles: ...


class SqlSubscription:
    """See `Subscription`."""

    exact_from = 0.0

    def __init__(
        self,
        token: str,
        channel: Channel,
        receiver: Receiver,
        keeper: Keeper,
        *,
        message_timeout: float,
        max_delay: float,
        room_in_bytes: Bytes,
        on_closed: Callable[[SqlSubscription], None],
    ) -> None:
        self.token = token
        self.channel = channel
        self.message_timeout = message_timeout
        self.max_delay = max_delay
        self.wall_clock = keeper.clock.time
        self.held: dict[int, SqlDelivery] = {}
        self.is_open = True
        self._asks = 0
        self._max_in_flight = 0
        self._low_water = 0
        self._receiver = receiver
        self._keeper = keeper
        self._bytes = room_in_bytes
        self._on_closed = on_closed
        self._monotonic = keeper.clock.monotonic
        self._watch: Timer | None = None
        self._is_closed = False

    @property
    def in_flight(self) -> int:
        return len(self.held)

    @property
    def is_connected(self) -> bool:
        return self.is_open

    def set_max_in_flight(self, count: int) -> None:
        self._max_in_flight = count if self.is_open else 0
        # asked for again when a part is answered: many at a time cost little more than one
        self._low_water = self._max_in_flight - max(1, min(self._max_in_flight // 4, 128))
        if len(self.held) < self._max_in_flight:
            self._keeper.look_at(self.channel)

    # -- taking -------------------------------------------------------------------------------------------------------

    def room(self) -> int:
        """Return how many deliveries more it may hold; 0 where that is not worth a look."""
        return self._max_in_flight - len(self.held) if self._bytes.held < self._bytes.limit or not self.held else 0

    def ask(self) -> Ask:
        """Return what to take for it."""
        self._asks += 1
        seconds = self.message_timeout + _MARGIN
        return Ask(f"{self.token}.{self._asks}", self.room(), max(self._bytes.limit - self._bytes.held, 1), seconds)

    def receive(self, ask: Ask, now: float) -> None:
        """Take what was found for `ask`, in a transaction that began at `now`."""
        deliveries: list[SqlDelivery] = []
        if ask.run:
            done = bytearray((ask.run[-1][0] - ask.first >> 3) + 1)
            if ask.run[-1][0] - ask.first + 1 > len(ask.run):
                there = {row[0] for row in ask.run}
                for offset in range(ask.run[-1][0] - ask.first + 1):
                    if ask.first + offset not in there:
                        done[offset >> 3] |= 1 << (offset & 7)
            taking = self._taking(ask, now, first=ask.first, done=done, remaining=len(ask.run))
            deliveries.extend(SqlDelivery(id, 1, at, body, taking, self) for id, at, body in ask.run)
        if ask.singles:
            taking = self._taking(ask, now)
            deliveries.extend(SqlDelivery(id, attempts, at, body, taking, self) for id, attempts, at, body in ask.singles)
        if deliveries:
            self._hold(deliveries)

    def _taking(self, ask: Ask, now: float, *, first: int = 0, done: bytearray | None = None, remaining: int = 0) -> Taking:
        return Taking(
            ask.token,
            self.channel.number,
            first=first,
            done=done or bytearray(),
            remaining=remaining,
            until=now + ask.seconds,
            on_change=self._keeper.changed,
        )

    def _hold(self, deliveries: list[SqlDelivery]) -> None:
        deadline = self._monotonic() + self.message_timeout
        held = self.held
        for delivery in deliveries:
            delivery.deadline = deadline
            held[delivery.id] = delivery
            self._bytes.held += len(delivery.body)
        if not self.is_open:  # it stopped while the transaction was under way
            for delivery in deliveries:
                delivery.give_back()
            return
        if self._watch is None:
            self._arm(self.message_timeout)
        self._receiver(deliveries)

    # -- answers ------------------------------------------------------------------------------------------------------

    def answered(self, delivery: SqlDelivery) -> None:
        """A delivery has its answer."""
        held = self.held
        if held.get(delivery.id) is delivery:
            del held[delivery.id]
        self._bytes.held -= len(delivery.body)
        if not self.channel.is_drained and len(held) <= self._low_water:
            self._keeper.look_at(self.channel)

    def came_back(self, due: float) -> None:
        """Something comes again at `due`, on this channel."""
        channel = self.channel
        if due < channel.next_due:
            channel.next_due = due
        if not due:
            channel.is_drained = False
            self._keeper.look_at(channel)

    def prolong(self, delivery: SqlDelivery) -> float:
        """Start the time of a delivery anew; return until when it is left to this process."""
        delivery.deadline = self._monotonic() + self.message_timeout
        if self.held.get(delivery.id) is delivery:
            del self.held[delivery.id]  # to the end of the dict, which is ordered by deadline
            self.held[delivery.id] = delivery
        return self.wall_clock() + self.message_timeout + _MARGIN

    def _arm(self, seconds: float) -> None:
        self._watch = self._keeper.clock.call_later(seconds, self._expire, is_housekeeping=True)

    def _expire(self) -> None:
        self._watch = None
        now = self._monotonic()
        while self.held:
            delivery = next(iter(self.held.values()))
            if delivery.deadline > now:
                self._arm(delivery.deadline - now)
                return
            delivery.expire()

    # -- the end ------------------------------------------------------------------------------------------------------

    def stop(self, *, timeout: float) -> None:
        if self.is_open:
            self.is_open = False
            self.set_max_in_flight(0)
            self._keeper.requests.settled(timeout)

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self.is_open = False
        self.set_max_in_flight(0)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        for delivery in list(self.held.values()):
            delivery.requeue()
        self._on_closed(self)
        self._keeper.left(self)

    def abandon(self) -> None:
        """In a forked child: nothing here is ours."""
        self._is_closed = True
        self.is_open = False
        self._max_in_flight = 0
        while self.held:
            self.held.popitem()[1].holder = None
