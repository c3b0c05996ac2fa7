"""The memory engine: NSQ's semantics inside one process, with nothing to install.

Topics copy each message to all their channels; a topic without channels keeps its messages for the first one. Subscribers of
a channel take turns. Deliveries carry attempts, time out, can be requeued with a delay and touched, as nsqd does it.

Memory is bounded: where a channel holds `max_depth` messages that wait, `publish` blocks until there is room, or raises
at once with `when_full=raise`. Nothing is ever dropped. Deferred messages lie in one heap a channel with one timer for all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Literal

import gevent
import gevent.event
from pydantic import BaseModel, ConfigDict, Field

from eventbus.engines.base import Receiver, TopicStats
from eventbus.engines.memory_channel import Channel, MemoryDelivery, MemorySubscription
from eventbus.engines.url import read_options
from eventbus.errors import BusStateError, NotSent, Rejected
from eventbus.names import check_name
from eventbus.runtime.clock import Clock, SystemClock

_BEFORE_YIELD = 256
"""Publishes after which the hub runs: handlers in this process must not wait until a publisher blocks."""


class MemoryOptions(BaseModel):
    """Options of a `memory://` URL."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_depth: int = Field(default=100_000, ge=1)
    """Messages that may wait in one channel, deferred ones included; about 1 kB each."""
    when_full: Literal["block", "raise"] = "block"
    """What `publish` does when a channel is full."""
    max_delay: float = Field(default=3600.0, gt=0)
    """Longest delay in seconds; nsqd's default `--max-req-timeout`."""
    max_message_bytes: int = Field(default=1024 * 1024, ge=64)
    """Longest body in bytes; nsqd's default `--max-msg-size`."""


class _Topic:
    __slots__ = ("backlog", "channels", "is_paused", "listed", "messages", "name", "waiters")

    def __init__(self, name: str) -> None:
        self.name = name
        self.channels: dict[str, Channel] = {}
        self.listed: tuple[Channel, ...] = ()
        self.backlog: deque[tuple[bytes, float, float]] = deque()  # body, accepted, due
        self.is_paused = False
        self.messages = 0
        self.waiters: list[gevent.event.Event] = []


class MemoryEngine:
    """Carries messages inside this process; see the module's docstring. Greenlets of one hub only."""

    scheme = "memory"
    counts_runs = True

    def __init__(self, options: MemoryOptions | None = None, *, clock: Clock | None = None) -> None:
        self.options = options or MemoryOptions()
        self.clock: Clock = clock or SystemClock()
        self.max_message_bytes = self.options.max_message_bytes
        self.max_delay = self.options.max_delay
        self.preferred: Mapping[str, Any] = {}
        self._topics: dict[str, _Topic] = {}
        self._ids = count(1)
        self._is_closed = False
        self._streak = 0
        self._monotonic = self.clock.monotonic

    def publish(self, topic: str, body: bytes, *, delay: float, timeout: float) -> None:
        self._check(topic, body, delay)
        target = self._topics.get(topic) or self._make_topic(topic)
        if not self._has_room(target):
            self._wait_for_room(target, timeout)
        self._put(target, body, delay)
        self._streak += 1
        if self._streak >= _BEFORE_YIELD:
            self._streak = 0
            gevent.sleep(0)

    def publish_many(self, topic: str, bodies: Sequence[bytes], *, timeout: float) -> None:
        for body in bodies:
            self._check(topic, body, 0.0)
        target = self._topics.get(topic) or self._make_topic(topic)
        for body in bodies:
            if not self._has_room(target):
                self._wait_for_room(target, timeout)
            self._put(target, body, 0.0)

    def _check(self, topic: str, body: bytes, delay: float) -> None:
        if self._is_closed:
            raise BusStateError(f"publish to {topic!r}: the memory engine is closed")
        if not 0 < len(body) <= self.max_message_bytes:
            raise Rejected(f"{len(body):,} bytes to {topic!r}: a message has 1 to {self.max_message_bytes:,} bytes")
        if not 0 <= delay <= self.max_delay:
            raise Rejected(f"delay of {delay!r} s to {topic!r}: the engine holds 0 to {self.max_delay:g} s")

    def _put(self, topic: _Topic, body: bytes, delay: float) -> None:
        now = self._monotonic()
        topic.messages += 1
        if topic.is_paused or not topic.listed:
            topic.backlog.append((body, now, now + delay))
            return
        for channel in topic.listed:
            self._put_in_channel(channel, body, now, now + delay if delay else 0.0)

    def _put_in_channel(self, channel: Channel, body: bytes, accepted: float, due: float) -> None:
        channel.put(MemoryDelivery(next(self._ids), body, accepted, channel), due)

    def _has_room(self, topic: _Topic) -> bool:
        limit = self.options.max_depth
        if len(topic.backlog) >= limit:
            return False
        for channel in topic.listed:  # noqa: SIM110 - no generator: this runs for each publish
            if channel.depth >= limit:
                return False
        return True

    def _wait_for_room(self, topic: _Topic, timeout: float) -> None:
        full = f"topic {topic.name!r} holds {self.options.max_depth:,} messages that nobody has taken"
        if self.options.when_full == "raise":
            raise NotSent(f"{full}; publish again later or raise max_depth")
        deadline = self._monotonic() + timeout
        while not self._has_room(topic):
            left = deadline - self._monotonic()
            room = gevent.event.Event()
            topic.waiters.append(room)
            try:
                if left <= 0 or not room.wait(left):
                    raise NotSent(f"{full}, for {timeout:g} s; publish again later or raise max_depth")
            finally:
                topic.waiters.remove(room)
            if self._is_closed:
                raise NotSent(f"publish to {topic.name!r}: the memory engine was closed meanwhile")

    def _make_topic(self, name: str) -> _Topic:
        check_name(name, kind="topic")
        return self._topics.setdefault(name, _Topic(name))

    def _make_channel(self, topic: _Topic, name: str) -> Channel:
        channel = topic.channels.get(name)
        if channel is None:
            check_name(name, kind="channel")
            channel = topic.channels[name] = Channel(name, self.clock, lambda: self._wake(topic))
            topic.listed = tuple(topic.channels.values())
            self._copy_backlog(topic)
        return channel

    def _copy_backlog(self, topic: _Topic) -> None:
        if topic.is_paused or not topic.listed:
            return
        while topic.backlog:
            body, accepted, due = topic.backlog.popleft()
            for channel in topic.listed:
                self._put_in_channel(channel, body, accepted, due if due > accepted else 0.0)

    @staticmethod
    def _wake(topic: _Topic) -> None:
        for room in topic.waiters:
            room.set()

    def publish_foreign(self, topic: str, body: bytes, *, timeout: float) -> None:
        self.publish(topic, body, delay=0.0, timeout=timeout)

    def declare(self, topic: str, channels: Sequence[str] = (), *, anew: bool = False) -> Sequence[str]:
        target = self._make_topic(topic)
        for channel in channels:
            self._make_channel(target, channel)
        return ()

    def late_for(self, topic: str) -> float:
        return 0.0

    def limit_bytes(self, count: int) -> None:
        pass  # the messages lie in this process anyway

    def subscribe(
        self, topic: str, channel: str, receiver: Receiver, *, max_in_flight: int, message_timeout: float, client: str = ""
    ) -> MemorySubscription:
        if self._is_closed:
            raise BusStateError(f"subscribe to {topic!r}: the memory engine is closed")
        target = self._make_topic(topic)
        joined = self._make_channel(target, channel)

        def leave() -> None:
            if joined.is_ephemeral and not joined.subscriptions and joined.name in target.channels:
                del target.channels[joined.name]
                target.listed = tuple(target.channels.values())
                self._wake(target)

        return joined.subscribe(receiver, leave, max_in_flight=max_in_flight, message_timeout=message_timeout)

    def ping(self, *, timeout: float) -> None:
        pass  # it lives in this process

    def stats(self) -> dict[str, TopicStats]:
        return {
            name: TopicStats(
                depth=len(topic.backlog),
                channels={channel.name: channel.stats() for channel in topic.listed},
                is_paused=topic.is_paused,
                messages=topic.messages,
            )
            for name, topic in self._topics.items()
        }

    def pause(self, topic: str, channel: str | None = None) -> None:
        target = self._make_topic(topic)
        if channel is None:
            target.is_paused = True
        else:
            self._make_channel(target, channel).is_paused = True

    def resume(self, topic: str, channel: str | None = None) -> None:
        target = self._make_topic(topic)
        if channel is None:
            target.is_paused = False
            self._copy_backlog(target)
        else:
            resumed = self._make_channel(target, channel)
            resumed.is_paused = False
            resumed.pump()

    def empty(self, topic: str, channel: str | None = None) -> None:
        target = self._make_topic(topic)
        if channel is None:
            target.backlog.clear()
        else:
            self._make_channel(target, channel).empty()
        self._wake(target)

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        for topic in self._topics.values():
            for channel in topic.listed:
                channel.close()
            self._wake(topic)

    def abandon(self) -> None:
        self._is_closed = True
        for topic in self._topics.values():
            for channel in topic.listed:
                channel.abandon()


def open_memory(url: str, *, clock: Clock | None = None) -> MemoryEngine:
    """Return a new engine for a `memory://` URL, shared with nobody."""
    return MemoryEngine(read_options(url, MemoryOptions), clock=clock)
