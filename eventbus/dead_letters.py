"""Dead letters: park what a handler cannot process; list, replay and discard what is parked.

Dead letters of topic `orders_placed` on channel `fulfillment` lie on the topic `orders_placed.fulfillment.dead`, channel
`parked`, so that NSQ's own tools show them. Each carries the original bytes, untouched, and why it is there. A replay
publishes to the original topic with `replayfor` set, which every other channel finishes unread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import gevent
import gevent.event

from eventbus.codec import CODECS, Limits, decode
from eventbus.engines.base import Delivery, Engine, Subscription
from eventbus.envelope import Envelope
from eventbus.errors import DecodeError, ReplayError
from eventbus.identity import InstantWriter, new_id, parse_instant
from eventbus.names import PARKED, check_name, dead_letter_topic

TYPE = "eventbus.DeadLetter"
RESERVE = 4096
"""Bytes kept free in every event, so that its dead letter still fits into a message."""
_MAX_ERROR = 1000
_HOLD = 1000  # deliveries a subscription holds at once; below nsqd's limit of 2,500
_HELD_FOR = 20.0  # seconds after which they come back when whoever holds them is killed; touched meanwhile
_QUIET = 0.5  # seconds without an arrival, after which another subscription may bring more
_msgpack = CODECS["msgpack"]()


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One parked delivery.

    Attributes:
        id: the event's id, or an id of its own where the bytes were no envelope.
        topic, channel: where it could not be processed.
        reason: why in a few words: "attempts used up", "rejected: ...", "not decodable: ...", "invalid: ...".
        error: the last exception, as `Type: text`; None where there was none.
        attempts: deliveries it took.
        first, last: when the engine accepted the message, and when it was parked.
        event_type: name of the event, where it is known.
        body: the original bytes.
    """

    id: str
    topic: str
    channel: str
    reason: str
    error: str | None
    attempts: int
    first: datetime
    last: datetime
    event_type: str | None
    body: bytes

    def envelope(self) -> Envelope:
        """Return the original envelope; raises DecodeError where the bytes are none."""
        return decode(self.body)


def park(
    engine: Engine,
    delivery: Delivery,
    *,
    topic: str,
    channel: str,
    service: str,
    reason: str,
    error: BaseException | None,
    attempts: int,
    envelope: Envelope | None,
    timeout: float,
) -> None:
    """Publish the dead letter of `delivery`, confirmed; the caller finishes the delivery after it, and not otherwise.

    Raises:
        PublishError: when it could not be parked.
    """
    write = InstantWriter().write
    now = engine.clock.time()
    letter = Envelope(
        new_id(now) if envelope is None else envelope.id,
        service,
        TYPE,
        write(now),
        {
            "topic": topic,
            "channel": channel,
            "reason": reason[:_MAX_ERROR],
            "error": None if error is None else f"{type(error).__name__}: {error}"[:_MAX_ERROR],
            "attempts": attempts,
            "first": write(delivery.timestamp),
            "last": write(now),
            "eventtype": None if envelope is None else envelope.type,
            "body": delivery.body,
        },
        None if envelope is None else envelope.correlation_id,
        None if envelope is None else {"causation_id": envelope.causation_id},
    )
    body = _msgpack.encode(letter)
    if len(body) > engine.max_message_bytes:
        body = delivery.body  # somebody else's message of the full size: its bytes alone are worth more than our label
    dead = dead_letter_topic(topic, channel)
    engine.declare(dead, [PARKED])
    engine.publish(dead, body, delay=0.0, timeout=timeout)


def read_letter(body: bytes, *, topic: str, channel: str, timestamp: float, limits: Limits) -> DeadLetter:
    """Return the dead letter in `body`; bytes without a label become one that says so."""
    try:
        letter = decode(body, limits)
        data: Any = letter.data
        if letter.type != TYPE:
            raise DecodeError("no label")
        return DeadLetter(
            id=letter.id,
            topic=data["topic"],
            channel=data["channel"],
            reason=data["reason"],
            error=data["error"],
            attempts=data["attempts"],
            first=datetime.fromtimestamp(parse_instant(data["first"], attribute="first"), UTC),
            last=datetime.fromtimestamp(parse_instant(data["last"], attribute="last"), UTC),
            event_type=data["eventtype"],
            body=data["body"],
        )
    except (DecodeError, KeyError, TypeError):
        when = datetime.fromtimestamp(timestamp, UTC)
        return DeadLetter("", topic, channel, "parked without a label", None, 0, when, when, None, body)


_Held = list[tuple[Delivery, DeadLetter]]
Where = Callable[[DeadLetter], bool]


def _chosen(ids: Collection[str] | None, where: Where | None) -> Where | None:
    if ids is None:
        return where
    wanted = set(ids)
    return lambda letter: letter.id in wanted and (where is None or where(letter))


class DeadLetters:
    """The dead letters of one channel of one topic: `bus.dead_letters("orders_placed", "fulfillment")`."""

    def __init__(self, engine: Engine, topic: str, channel: str, *, timeout: float) -> None:
        self.topic = check_name(topic, kind="topic")
        self.channel = check_name(channel, kind="channel")
        self.dead_topic = dead_letter_topic(topic, channel)
        self._engine = engine
        self._timeout = timeout

    def count(self) -> int:
        """Return how many dead letters there are."""
        return self._count()

    def list(self, *, limit: int = 1000, where: Where | None = None) -> list[DeadLetter]:
        """Return up to `limit` dead letters, oldest first, those alone for which `where` is true; they stay parked."""
        with self._hold(limit if where is None else self._count()) as held:
            found = [letter for _, letter in held if where is None or where(letter)]
            return sorted(found, key=lambda letter: letter.last)[:limit]

    def replay(
        self,
        ids: Collection[str] | None = None,
        *,
        limit: int | None = None,
        where: Where | None = None,
        on_each: Callable[[DeadLetter], None] | None = None,
    ) -> int:
        """Publish dead letters to their channel again, all or those with the given ids; return how many.

        Args:
            ids: of events; None for all.
            limit: most of them.
            where: only those for which it is true.
            on_each: told of each that is done.

        Each is published and confirmed before its dead letter is finished: an interruption at any point loses nothing and
        at worst replays one twice.

        Raises:
            ReplayError: when one holds bytes that are no envelope; it stays parked, and so does what follows it.
            PublishError: when the engine did not confirm one.
        """
        return self._each(_chosen(ids, where), limit, self._publish_again, on_each)

    def discard(
        self,
        ids: Collection[str] | None = None,
        *,
        limit: int | None = None,
        where: Where | None = None,
        on_each: Callable[[DeadLetter], None] | None = None,
    ) -> int:
        """Throw dead letters away for good; arguments as for `replay`. Return how many."""
        return self._each(_chosen(ids, where), limit, lambda letter: None, on_each)

    def _each(
        self,
        where: Where | None,
        limit: int | None,
        act: Callable[[DeadLetter], None],
        on_each: Callable[[DeadLetter], None] | None,
    ) -> int:
        done = 0
        most = self._count() if limit is None or where is not None else limit
        with self._hold(most) as held:
            for delivery, letter in held:
                if where is not None and not where(letter):
                    continue
                if limit is not None and done >= limit:
                    break
                act(letter)
                delivery.finish()
                done += 1
                if on_each is not None:
                    on_each(letter)
        return done

    def _publish_again(self, letter: DeadLetter) -> None:
        try:
            envelope = letter.envelope()
        except DecodeError as error:
            raise ReplayError(
                f"dead letter {letter.id or '(without id)'} on {self.dead_topic!r} holds no envelope ({error.reason}) and "
                f"cannot be replayed to one channel; discard it"
            ) from error
        envelope.replay_for = self.channel
        envelope.prior_attempts = 0
        envelope.deliver_at = None
        codec = CODECS["json" if letter.body[:1] == b"{" else "msgpack"]()
        self._engine.publish(self.topic, codec.encode(envelope), delay=0.0, timeout=self._timeout)

    def _count(self) -> int:
        topic = self._engine.stats().get(self.dead_topic)
        if topic is None:
            return 0
        parked = topic.channels.get(PARKED)
        return topic.depth + (parked.depth + parked.in_flight + parked.deferred if parked else 0)

    @contextmanager
    def _hold(self, limit: int) -> Iterator[_Held]:
        """Hold up to `limit` parked deliveries; what is not finished inside goes back when the block ends."""
        expected = min(limit, self._count())
        if not expected:
            yield []
            return
        changed = gevent.event.Event()
        order: list[Delivery] = []

        def receive(batch: Any) -> None:
            order.extend(batch)
            changed.set()

        subscriptions: list[Subscription] = []

        def keep() -> None:
            while True:
                gevent.sleep(_HELD_FOR / 4)
                for delivery in order:
                    delivery.touch()  # ignored where it is finished

        keeper = gevent.spawn(keep)

        def join() -> None:
            subscriptions.append(
                self._engine.subscribe(self.dead_topic, PARKED, receive, max_in_flight=_HOLD, message_timeout=_HELD_FOR)
            )

        # several brokers share what one subscription may hold, so the letters of one may need more of them
        most = 2 + 8 * (expected // _HOLD)
        try:
            join()
            while len(order) < expected:
                changed.clear()
                if changed.wait(_QUIET):
                    continue
                if len(subscriptions) >= most:
                    break  # somebody else holds the rest, or took it
                join()
            limits = Limits(max_bytes=self._engine.max_message_bytes)
            yield [
                (
                    delivery,
                    read_letter(
                        delivery.body,
                        topic=self.topic,
                        channel=self.channel,
                        timestamp=delivery.timestamp,
                        limits=limits,
                    ),
                )
                for delivery in order[:expected]
            ]
        finally:
            keeper.kill()
            for subscription in subscriptions:
                subscription.stop(timeout=self._timeout)
            for delivery in order:
                delivery.requeue()  # ignored where it is finished
            for subscription in subscriptions:
                subscription.close()
