"""The seam between bus and engine: bytes and deliveries, never events.

Everything here is called from greenlets of one hub. Methods of an engine may block the calling greenlet where they say so;
methods of a delivery and of a subscription never do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from eventbus.runtime.clock import Clock


class Delivery(Protocol):
    """One message handed to one subscriber, to be answered once by `finish` or `requeue`.

    A second answer is ignored, as is one that comes after the engine gave the message to somebody else.

    Attributes:
        body: the message's bytes.
        attempts: how often it was delivered, this time included.
        held_since: for the dispatcher: about the monotonic instant at which it was received or last touched; 0 when new.
        size: length of the message in bytes. More than that of `body` where the message is longer than the engine reads:
            `body` is only its head then.
    """

    body: bytes
    attempts: int
    held_since: float

    @property
    def timestamp(self) -> float:
        """When the engine accepted the message, in seconds since 1970."""
        ...

    @property
    def size(self) -> int: ...

    @property
    def is_held(self) -> bool:
        """Whether it is still this subscriber's: False once it was answered, its time is up, or its connection has ended.

        The engine has given it to somebody else then, so that no handler should begin. A late answer is ignored.
        """
        ...

    def finish(self) -> None:
        """The message is done; it never comes again on this channel."""
        ...

    def requeue(self, delay: float = 0.0) -> None:
        """Deliver the message again after `delay` seconds, to any subscriber of the channel.

        A delay above the engine's `max_delay` is shortened to it.
        """
        ...

    def give_back(self) -> bool:
        """Undo the delivery: nobody began to work on it, so it comes again with the same `attempts`.

        Return False, unanswered still, where the engine counts each delivery and cannot take one back.
        """
        ...

    def touch(self) -> None:
        """Start the message timeout anew."""
        ...


Receiver = Callable[[Sequence[Delivery]], None]
"""Takes new deliveries; called in any greenlet, must not block."""


class Subscription(Protocol):
    """One subscriber of a channel. It holds at most `max_in_flight` unanswered deliveries."""

    message_timeout: float
    """Seconds after which an unanswered, untouched delivery is given to another subscriber."""
    exact_from: float
    """Monotonic instant from which the engine keeps short delays on this channel exactly; before it they may end late."""

    @property
    def in_flight(self) -> int:
        """Number of deliveries not yet answered."""
        ...

    @property
    def is_connected(self) -> bool:
        """Whether deliveries can come: a connection is up, or none is needed."""
        ...

    def set_max_in_flight(self, count: int) -> None:
        """Change how many deliveries may be held; 0 pauses."""
        ...

    def stop(self, *, timeout: float) -> None:
        """Take nothing more; what is held may still be answered. Returns once nothing more can arrive. Idempotent; may
        block up to `timeout` seconds."""
        ...

    def close(self) -> None:
        """End the subscription. What is unanswered comes again, on some engines only after the message timeout: requeue
        it first. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """Counts of one channel.

    Attributes:
        depth: messages that wait to be delivered.
        in_flight: delivered and not answered.
        deferred: waiting for their time.
        subscribers: open subscriptions.
        is_paused: whether delivery is paused.
        messages: all that ever came, since the channel or its broker began.
        requeued: given back by subscribers, ever.
        timed_out: taken back because nobody answered in time, ever.
        clients: who subscribes, sorted, each in one line; empty where the broker is not told.
    """

    depth: int
    in_flight: int
    deferred: int
    subscribers: int
    is_paused: bool
    messages: int = 0
    requeued: int = 0
    timed_out: int = 0
    clients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TopicStats:
    """Counts of one topic: messages that no channel has taken yet, its channels by name, and all that was ever published.

    Attributes:
        started: when the broker began that holds it; of several, the one that began last. In seconds since 1970, 0 for
            unknown.
    """

    depth: int
    channels: dict[str, ChannelStats]
    is_paused: bool
    messages: int = 0
    started: float = 0.0


@dataclass(frozen=True, slots=True)
class Past:
    """A message in the log of an engine that keeps one.

    Attributes:
        position: its place; what came later has a higher one.
        at: when the engine accepted it, in seconds since 1970.
    """

    position: int
    at: float
    body: bytes


class Log(Protocol):
    """What an engine has beside `Engine` that keeps what was published."""

    def begin_at(self, topic: str, channel: str, begin: float) -> None:
        """Make a channel whose first message is the first one not older than `begin`, in seconds since 1970; one that is
        there stays where it is.

        Raises:
            ConfigurationError: `begin` lies in the future.
        """
        ...

    def past(
        self, topic: str, *, after: int, since: float | None, until: float | None, most: int, most_bytes: int
    ) -> Sequence[Past]:
        """Return messages behind position `after`, in order: `most` at most, and once `most_bytes` are passed no more.

        Raises:
            ConfigurationError: there is no such topic.
        """
        ...

    def repeat(self, topic: str, channel: str, positions: Sequence[int]) -> int:
        """Have a channel get messages again beside what is new; return how many. What it has not had yet is left out.

        Raises:
            ConfigurationError: there is no such topic or channel.
        """
        ...


class Engine(Protocol):
    """Carries messages from topics to channels: each channel gets a copy of all, subscribers of a channel share.

    An engine may derive from it: what most do alike is written here.

    Attributes:
        clock: the time that this engine lives by.
        max_message_bytes: longest body.
        max_delay: longest delay in seconds that the engine itself can hold.
        scheme: for messages and descriptions.
        preferred: settings of the bus that the engine's URL overrides, by name.
        counts_runs: whether a delivery's `attempts` leave out what was given back, so that they say how many runs began.
    """

    clock: Clock
    max_message_bytes: int
    max_delay: float
    scheme: str
    preferred: Mapping[str, Any] = MappingProxyType({})
    counts_runs: bool = False

    def publish(self, topic: str, body: bytes, *, delay: float, timeout: float) -> None:
        """Return once the engine has the message. Blocks at most `timeout` seconds.

        Raises:
            Rejected, NotSent, OutcomeUnknown: not confirmed, with what is known.
        """
        ...

    def publish_many(self, topic: str, bodies: Sequence[bytes], *, timeout: float) -> None:
        """Publish several messages; returns once the engine has them all. On an error some may have been taken."""
        for body in bodies:
            self.publish(topic, body, delay=0.0, timeout=timeout)

    def publish_foreign(self, topic: str, body: bytes, *, timeout: float) -> None:
        """Publish bytes that the engine itself delivered, also where they are longer than `max_message_bytes`: a broker
        took them once.

        Raises:
            Rejected, NotSent, OutcomeUnknown: as `publish`.
        """
        self.publish(topic, body, delay=0.0, timeout=timeout)

    def declare(self, topic: str, channels: Sequence[str] = (), *, anew: bool = False) -> Sequence[str]:
        """Make topic and channels where they are missing, so that the channels miss nothing from now on. May block.

        Args:
            anew: act although the same was declared a moment ago, which the engine remembers otherwise.

        Returns:
            For each broker that did not take it, a text with its name and the reason.
        """
        ...

    def late_for(self, topic: str) -> float:
        """Return for how many seconds from now the engine may keep short delays on a topic badly; 0 where it does not.

        What is due within that time is published at once: a subscriber waits more exactly.
        """
        return 0.0

    def limit_bytes(self, count: int) -> None:
        """Hold about `count` bytes of unanswered deliveries at most, all subscriptions together, and one message each. Their
        number alone is bounded unless an engine does more."""

    def subscribe(
        self, topic: str, channel: str, receiver: Receiver, *, max_in_flight: int, message_timeout: float, client: str = ""
    ) -> Subscription:
        """Join the channel; deliveries go to `receiver`, and the broker may show `client` to people. May block."""
        ...

    def ping(self, *, timeout: float) -> None:
        """Return if a broker answers within `timeout` seconds.

        Raises:
            BrokerUnreachableError: none does; says which were tried.
        """

    def stats(self) -> dict[str, TopicStats]:
        """Return counts by topic. May block."""
        ...

    def pause(self, topic: str, channel: str | None = None) -> None:
        """Stop the copying to the channels of a topic, or the delivery of one channel. Nothing is lost."""
        ...

    def resume(self, topic: str, channel: str | None = None) -> None:
        """Undo `pause`."""
        ...

    def empty(self, topic: str, channel: str | None = None) -> None:
        """Throw away what waits in a topic, or in one channel: the only call that loses messages, and on purpose."""
        ...

    def close(self) -> None:
        """Close subscriptions and connections. Idempotent."""
        ...

    def abandon(self) -> None:
        """Let go of everything in a forked child: the parent goes on, and nothing that is its own may be touched. Must not
        block."""
        ...
