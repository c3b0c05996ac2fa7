"""A whole engine in 150 lines, to begin one's own from: `tiny://` carries messages inside this process. A message waits in
the heap of a channel until it is due, and is then handed to a subscriber that has room, each time as a new delivery."""

import heapq
from collections import defaultdict
from itertools import count

from eventbus import BusStateError, NotSent, Rejected
from eventbus.engines import ChannelStats, Engine, TopicStats
from eventbus.names import check_name
from eventbus.runtime.clock import SystemClock


class TinyDelivery:
    def __init__(self, subscription, body, timestamp, attempts):
        self.body, self.timestamp, self.attempts, self.size = body, timestamp, attempts + 1, len(body)
        self.subscription, self.is_held, self.held_since = subscription, True, 0.0
        self.timer = subscription.watch(self)

    def finish(self):
        was_held, self.is_held = self.is_held, False  # only the first answer counts
        if was_held:
            self.timer.cancel()
            self.subscription.in_flight -= 1
            self.subscription.channel.pump()
        return was_held

    def requeue(self, delay=0.0):
        if self.finish():
            self.subscription.channel.put(self.body, self.timestamp, self.attempts, delay)

    def give_back(self):
        self.attempts -= 1
        self.requeue()
        return True

    def touch(self):
        if self.is_held:
            self.timer.cancel()
            self.timer = self.subscription.watch(self)


class TinySubscription:
    def __init__(self, channel, receiver, max_in_flight, message_timeout):
        self.channel, self.receiver, self.message_timeout, self.exact_from = channel, receiver, message_timeout, 0.0
        self.in_flight, self.is_connected = 0, True
        channel.subscriptions.append(self)
        self.set_max_in_flight(max_in_flight)

    def watch(self, delivery):
        return self.channel.clock.call_later(self.message_timeout, delivery.requeue, is_housekeeping=True)

    def set_max_in_flight(self, count):
        self.room = count
        self.channel.pump()

    def stop(self, *, timeout=0.0):
        self.is_connected = False
        self.channel.subscriptions = [each for each in self.channel.subscriptions if each is not self]

    close = stop  # what is held may be answered still, and comes again after the message timeout


class Channel:
    def __init__(self, clock):
        self.clock, self.waiting, self.numbers, self.subscriptions = clock, [], count(), []
        self.is_paused, self.timer = False, None

    def put(self, body, timestamp, attempts, delay):
        heapq.heappush(self.waiting, (self.clock.monotonic() + delay, next(self.numbers), body, timestamp, attempts))
        self.pump()

    def pump(self):  # whenever something changed: hand over what is due, to subscribers in turn
        while self.waiting and not self.is_paused:
            free = next((each for each in self.subscriptions if each.in_flight < each.room), None)
            if free is None:
                return
            if (seconds := self.waiting[0][0] - self.clock.monotonic()) > 0:
                if self.timer is not None:
                    self.timer.cancel()
                self.timer = self.clock.call_later(seconds, self.pump)
                return
            self.subscriptions.append(self.subscriptions.pop(self.subscriptions.index(free)))
            free.in_flight += 1
            free.receiver([TinyDelivery(free, *heapq.heappop(self.waiting)[2:])])

    def stats(self):
        due = sum(each[0] <= self.clock.monotonic() for each in self.waiting)
        held = sum(each.in_flight for each in self.subscriptions)
        return ChannelStats(due, held, len(self.waiting) - due, len(self.subscriptions), self.is_paused)


class TinyEngine(Engine):
    scheme, counts_runs, max_message_bytes, max_delay = "tiny", True, 1024 * 1024, 3600.0
    most = 100_000  # messages that may wait in a channel: nothing grows without end

    def __init__(self, url, *, clock=None):
        self.clock, self.is_closed = clock or SystemClock(), False
        self.topics = defaultdict(lambda: {"": Channel(self.clock)})

    def channels(self, topic, name=None):
        """Return one channel, or all of a topic. What is published before there is any waits in one called ""."""
        channels = self.topics[check_name(topic, kind="topic")]
        if name is not None and name not in channels:
            channels[check_name(name, kind="channel")] = channels.pop("", None) or Channel(self.clock)
        return list(channels.values()) if name is None else [channels[name]]

    def publish(self, topic, body, *, delay, timeout):
        if self.is_closed:
            raise BusStateError(f"publish to {topic!r}: the tiny engine is closed")
        if not 0 < len(body) <= self.max_message_bytes:
            raise Rejected(f"{len(body):,} bytes to {topic!r}: a message has 1 to {self.max_message_bytes:,} bytes")
        if any(len(each.waiting) >= self.most for each in self.channels(topic)):
            raise NotSent(f"{self.most:,} messages of {topic!r} wait already; publish again later")
        for each in self.channels(topic):
            each.put(body, self.clock.time(), 0, delay)

    def declare(self, topic, channels=(), *, anew=False):
        for name in channels or [None]:
            self.channels(topic, name)
        return ()

    def subscribe(self, topic, channel, receiver, *, max_in_flight, message_timeout, client=""):
        return TinySubscription(*self.channels(topic, channel), receiver, max_in_flight, message_timeout)

    def stats(self):
        named = {topic: [(name, each) for name, each in channels.items() if name] for topic, channels in self.topics.items()}
        return {topic: TopicStats(0, {name: each.stats() for name, each in of}, False) for topic, of in named.items()}

    def pause(self, topic, channel=None, *, is_paused=True):
        for each in self.channels(topic, channel):
            each.is_paused = is_paused
            each.pump()

    def resume(self, topic, channel=None):
        self.pause(topic, channel, is_paused=False)

    def empty(self, topic, channel=None):
        for each in self.channels(topic, channel):
            each.waiting.clear()

    def close(self):
        self.is_closed = True
        for channel in [each for topic in self.topics for each in self.channels(topic)]:
            for subscription in channel.subscriptions:
                subscription.close()

    def abandon(self):
        for topic in self.topics:
            self.pause(topic)
