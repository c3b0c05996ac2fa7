"""Mending: list the dead letters of a channel, and replay or discard them once their cause is gone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from time import time

from eventbus.dead_letters.again import copy_for
from eventbus.dead_letters.done import letters_done_on
from eventbus.dead_letters.holding import ParkedLetters
from eventbus.dead_letters.letter import DeadLetter
from eventbus.engines.base import Engine
from eventbus.errors import DecodeError, EncodeError, ReplayError
from eventbus.event import event_info, event_topic
from eventbus.signing import for_copies, signer_of
from eventbus.wire.codec import CODECS, dump
from eventbus.wire.envelope import Envelope
from eventbus.wire.identity import InstantWriter, new_id

_TOLD_AT_ONCE = 100

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
        self._copies = for_copies(engine)
        self._signer = signer_of(engine)
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
            ReplayError: when some hold bytes that are no envelope, or none that can be sent: they stay parked, and all
                others were replayed.
            PublishError: when the engine did not confirm one.
        """
        refused: list[str] = []

        def copy(letter: DeadLetter) -> bytes | None:
            try:
                return self._copy(letter)
            except (DecodeError, EncodeError) as error:
                refused.append(f"{letter.id or '(without id)'} ({error})")
                return None

        done = self._each(_chosen(ids, where), limit, copy, on_each)
        if refused:
            raise ReplayError(
                f"{self.dead_topic!r}: {done} replayed; {len(refused)} cannot be replayed, since what they hold "
                f"is no envelope or cannot be sent: discard them. The first: {refused[0]}"
            )
        return done

    def discard(
        self,
        ids: Collection[str] | None = None,
        *,
        limit: int | None = None,
        where: Where | None = None,
        on_each: Callable[[DeadLetter], None] | None = None,
        look_at: int | None = None,
    ) -> int:
        """Throw dead letters away for good; arguments as for `replay`. Return how many.

        Args:
            look_at: most letters to look at, where `where` chooses among them; None for all.
        """
        return self._each(_chosen(ids, where), limit, None, on_each, look_at=look_at)

    def _each(
        self,
        where: Where | None,
        limit: int | None,
        copy: Callable[[DeadLetter], bytes | None] | None,
        on_each: Callable[[DeadLetter], None] | None,
        *,
        look_at: int | None = None,
    ) -> int:
        """Finish letters, after what `copy` makes of each was published; one of which it makes None stays."""
        done = 0
        most = self._parked.count() if limit is None or where is not None else limit
        with self._parked.hold(most if look_at is None else min(most, look_at)) as held:
            chosen = [each for each in held if where is None or where(each[1])][:limit]
            for first in range(0, len(chosen), _TOLD_AT_ONCE):
                some = [(*each, copy(each[1]) if copy else b"") for each in chosen[first : first + _TOLD_AT_ONCE]]
                kept = [letter.id for _, letter, body in some if letter.is_kept and body is not None]
                self._tell(kept, is_replayed=copy is not None)
                for delivery, letter, body in some:
                    if body is None:
                        continue
                    if body:
                        self._copies.publish(self.topic, body, delay=0.0, timeout=self._timeout)
                    delivery.finish()
                    done += 1
                    if on_each is not None:
                        on_each(letter)
        return done

    def _tell(self, ids: Sequence[str], *, is_replayed: bool) -> None:
        """Tell the database that keeps them. Before it is done: what is said too early comes back, and what is said too late
        could be said of a letter that was parked again meanwhile."""
        if ids:
            event = letters_done_on(self.topic, self.channel)(ids=tuple(ids), is_replayed=is_replayed)
            envelope = Envelope(
                new_id(), "eventbus", event_info(type(event)).name, InstantWriter().write(time()), dump(event)
            )
            body = CODECS["msgpack"]().encode(envelope)
            self._engine.publish(event_topic(type(event)), body, delay=0.0, timeout=self._timeout)

    def _copy(self, letter: DeadLetter) -> bytes:
        """Return the event for its channel alone, as if it had never been tried."""
        envelope = letter.envelope()
        if self._signer is not None and self._signer.mode == "require":
            doubt = self._signer.doubt(self.topic, envelope)
            if doubt is not None:
                raise DecodeError(f"{doubt}: whoever put it there, nobody would take it; discard it")
        return copy_for(self.channel, envelope, letter.body)
