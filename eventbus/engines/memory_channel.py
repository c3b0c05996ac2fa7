"""One channel of the memory engine: who waits, who holds what, and until when.

A message lies in exactly one place: `ready` (waits for a subscriber), `_deferred` (waits for its time) or in the `held` of
one subscription (delivered, not answered). Each delivery is an object of its own, so that a late answer to an earlier one
finds itself answered already and does nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from eventbus.engines.base import ChannelStats, Receiver
from eventbus.names import is_ephemeral
from eventbus.runtime.clock import Clock, Timer


class MemoryDelivery:
    """One message on one channel, and what is known of this delivery of it."""

    __slots__ = ("_accepted", "_channel", "attempts", "body", "deadline", "held_since", "holder", "id")

    def __init__(self, id: int, body: bytes, accepted: float, channel: Channel, attempts: int = 0) -> None:
        self.id = id
        self.body = body
        self.attempts = attempts
        self.held_since = 0.0
        self.holder: MemorySubscription | None = None
        self.deadline = 0.0
        self._accepted = accepted
        self._channel = channel

    @property
    def timestamp(self) -> float:
        clock = self._channel.clock
        return clock.time() - (clock.monotonic() - self._accepted)

    @property
    def size(self) -> int:
        return len(self.body)

    @property
    def is_held(self) -> bool:
        return self.holder is not None

    def finish(self) -> None:
        holder = self.holder
        if holder is not None:
            self.holder = None
            held = holder.held
            del held[self.id]
            if self._channel.ready and len(held) <= holder.low_water:
                self._channel.pump()

    def requeue(self, delay: float = 0.0) -> None:
        holder = self.holder
        if holder is not None:
            self.holder = None
            del holder.held[self.id]
            self._channel.requeued += 1
            self._channel.put_back(self, delay)

    def give_back(self) -> bool:
        if self.holder is not None:
            self.attempts -= 1
            self.requeue()
        return True

    def touch(self) -> None:
        holder = self.holder
        if holder is not None:
            del holder.held[self.id]  # to the end of the dict, which is ordered by deadline
            self.deadline = self._channel.clock.monotonic() + holder.message_timeout
            holder.held[self.id] = self

    def again(self) -> MemoryDelivery:
        """Return the message as a fresh delivery."""
        return MemoryDelivery(self.id, self.body, self._accepted, self._channel, self.attempts)


class MemorySubscription:
    """One subscriber of a channel."""

    def __init__(
        self, channel: Channel, receiver: Receiver, leave: Callable[[], None], max_in_flight: int, message_timeout: float
    ) -> None:
        self.message_timeout = message_timeout
        self.exact_from = 0.0
        self.held: dict[int, MemoryDelivery] = {}
        self.low_water = 0
        self.max_in_flight = 0
        self._channel = channel
        self._receiver = receiver
        self._leave = leave
        self._is_open = True
        self._watch: Timer | None = None
        self.set_max_in_flight(max_in_flight)

    @property
    def in_flight(self) -> int:
        return len(self.held)

    @property
    def is_connected(self) -> bool:
        return self._is_open

    def set_max_in_flight(self, count: int) -> None:
        self.max_in_flight = count if self._is_open else 0
        # refilled when some are answered: a batch of deliveries costs little more than one, and nobody waits long for it
        self.low_water = self.max_in_flight - max(1, min(self.max_in_flight // 8, 8))
        if len(self.held) < self.max_in_flight:
            self._channel.pump()

    def take(self, batch: list[MemoryDelivery], now: float) -> None:
        """Hand `batch` to the receiver; the channel has checked that there is room."""
        deadline = now + self.message_timeout
        held = self.held
        for delivery in batch:
            delivery.attempts += 1
            delivery.holder = self
            delivery.deadline = deadline
            held[delivery.id] = delivery
        if self._watch is None:
            self._arm(deadline - now)
        self._receiver(batch)

    def _arm(self, seconds: float) -> None:
        self._watch = self._channel.clock.call_later(seconds, self._expire, is_housekeeping=True)

    def _expire(self) -> None:
        self._watch = None
        now = self._channel.clock.monotonic()
        while self.held:
            delivery = next(iter(self.held.values()))
            if delivery.deadline > now:
                self._arm(delivery.deadline - now)
                return
            self._channel.timed_out += 1
            delivery.requeue()

    def stop(self, *, timeout: float) -> None:
        self._is_open = False
        self.set_max_in_flight(0)

    def close(self) -> None:
        self.stop(timeout=0.0)
        if self in self._channel.subscriptions:
            self._channel.subscriptions.remove(self)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        for delivery in list(self.held.values()):
            delivery.requeue()
        self._leave()


class Channel:
    """One subscriber service's copy of a topic."""

    def __init__(self, name: str, clock: Clock, on_room: Callable[[], None]) -> None:
        self.name = name
        self.clock = clock
        self.on_room = on_room
        self.is_ephemeral = is_ephemeral(name)
        self.is_paused = False
        self.messages = self.requeued = self.timed_out = 0
        self.ready: deque[MemoryDelivery] = deque()
        self.subscriptions: deque[MemorySubscription] = deque()  # the front one's turn is next
        self._deferred: list[tuple[float, int, MemoryDelivery]] = []
        self._sequence = count()
        self._timer: Timer | None = None
        self._timer_due = 0.0

    @property
    def depth(self) -> int:
        """Messages that wait, deferred ones included."""
        return len(self.ready) + len(self._deferred)

    def put(self, delivery: MemoryDelivery, due: float) -> None:
        """Take a new message; `due` is the monotonic instant before which it waits, 0 for none."""
        self.messages += 1
        if due:
            self._defer(delivery, due)
            return
        subscriptions = self.subscriptions
        if subscriptions and not self.ready and not self.is_paused:
            subscription = subscriptions[0]
            if len(subscriptions) == 1:
                if len(subscription.held) < subscription.max_in_flight:
                    subscription.take([delivery], delivery._accepted)
                    return
            else:
                self.ready.append(delivery)
                self.pump()
                return
        self.ready.append(delivery)

    def put_back(self, answered: MemoryDelivery, delay: float) -> None:
        """Take a requeued or timed-out message; never refused, whatever the depth."""
        fresh = answered.again()
        if delay > 0:
            self._defer(fresh, self.clock.monotonic() + delay)
        else:
            self.ready.append(fresh)
        self.pump()

    def pump(self) -> None:
        """Give what is ready to the subscribers that have room, in turns."""
        if self.is_paused or not self.subscriptions or not self.ready:
            return
        now = self.clock.monotonic()
        if len(self.subscriptions) == 1:
            only = self.subscriptions[0]
            room = min(only.max_in_flight - len(only.held), len(self.ready))
            if room > 0:
                take = self.ready.popleft
                only.take([take() for _ in range(room)], now)
        else:
            self._deal(now)
        self.on_room()

    def _deal(self, now: float) -> None:
        shares: dict[MemorySubscription, list[MemoryDelivery]] = {}
        full = 0
        while self.ready and full < len(self.subscriptions):
            subscription = self.subscriptions[0]
            self.subscriptions.rotate(-1)
            share = shares.setdefault(subscription, [])
            if len(subscription.held) + len(share) < subscription.max_in_flight:
                share.append(self.ready.popleft())
                full = 0
            else:
                full += 1
        for subscription, share in shares.items():
            if share:
                subscription.take(share, now)

    def _defer(self, delivery: MemoryDelivery, due: float) -> None:
        heappush(self._deferred, (due, next(self._sequence), delivery))
        if self._timer is None or due < self._timer_due:
            self._wait_until(due)

    def _wait_until(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = self.clock.call_later(due - self.clock.monotonic(), self._release)

    def _release(self) -> None:
        self._timer = None
        now = self.clock.monotonic()
        while self._deferred and self._deferred[0][0] <= now:
            self.ready.append(heappop(self._deferred)[2])
        if self._deferred:
            self._wait_until(self._deferred[0][0])
        self.pump()

    def subscribe(
        self, receiver: Receiver, leave: Callable[[], None], *, max_in_flight: int, message_timeout: float
    ) -> MemorySubscription:
        """Add a subscriber and give it what waits."""
        subscription = MemorySubscription(self, receiver, leave, 0, message_timeout)
        self.subscriptions.append(subscription)
        subscription.set_max_in_flight(max_in_flight)
        return subscription

    def stats(self) -> ChannelStats:
        """Count what is where."""
        in_flight = sum(len(subscription.held) for subscription in self.subscriptions)
        return ChannelStats(
            len(self.ready),
            in_flight,
            len(self._deferred),
            len(self.subscriptions),
            self.is_paused,
            messages=self.messages,
            requeued=self.requeued,
            timed_out=self.timed_out,
        )

    def empty(self) -> None:
        """Throw away what waits."""
        self.ready.clear()
        self._deferred.clear()

    def close(self) -> None:
        """End all subscriptions and timers."""
        for subscription in list(self.subscriptions):
            subscription.close()
        if self._timer is not None:
            self._timer.cancel()

    def abandon(self) -> None:
        """In a forked child: deliver nothing more, and answer nothing."""
        self.is_paused = True
        for subscription in self.subscriptions:
            while subscription.held:
                subscription.held.popitem()[1].holder = None
