"""Mending: list the dead letters of a channel, and replay or discard them once their cause is gone."""

from __future__ import annotations

from collections.abc import Callable, Collection

from eventbus.dead_letters.holding import ParkedLetters
from eventbus.dead_letters.letter import DeadLetter
from eventbus.engines.base import Engine
from eventbus.errors import DecodeError, ReplayError
from eventbus.wire.codec import CODECS

Where = Callable[[DeadLetter], bool]


def _chosen(ids: Collection[str] | None, where: Where | None) -> Where | None:
    if ids is None:
        return where
    wanted = set(ids)
    return lambda letter: letter.id in wanted and (where is None or where(letter))


class DeadLetters:
    """The dead letters of one channel of one topic: `bus.dead_letters("orders_placed", "fulfillment")`."""

    def __init__(self, engine: Engine, topic: str, channel: str, *, timeout: float) -> None:
        self._parked = ParkedLetters(engine, topic, channel, timeout=timeout)
        self.topic = self._parked.topic
        self.channel = self._parked.channel
        self.dead_topic = self._parked.dead_topic
        self._engine = engine
        self._timeout = timeout

    def count(self) -> int:
        """Return how many dead letters there are."""
        return self._parked.count()

    def list(self, *, limit: int = 1000, where: Where | None = None) -> list[DeadLetter]:
        """Return up to `limit` dead letters, oldest first, those alone for which `where` is true; they stay parked."""
        with self._parked.hold(limit if where is None else self._parked.count()) as held:
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
        most = self._parked.count() if limit is None or where is not None else limit
        with self._parked.hold(most) as held:
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
