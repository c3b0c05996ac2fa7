"""Outgoing: a parcel of messages on its way to as many nsqd as asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eventbus.engines.nsq.producer import is_refused_batch
from eventbus.errors import OutcomeUnknown

_MOST_BYTES = 262_144
_MOST = 1000


class Outgoing:
    """One message that is to be confirmed, or several that travel together.

    Attributes:
        bodies: the messages, one or more.
        alone: whether it goes in a frame of its own, beside what others publish.
        confirmed: the nsqd that have it.
        last: the last error it met.
        is_refused: whether an nsqd refused it together with others.
        was_sent: whether an nsqd may have it that did not say so.
    """

    __slots__ = ("alone", "bodies", "confirmed", "is_refused", "last", "was_sent")

    def __init__(self, *bodies: bytes, alone: bool = False) -> None:
        self.bodies = bodies
        self.alone = alone
        self.confirmed: frozenset[object] = frozenset()
        self.last: Exception | None = None
        self.is_refused = False
        self.was_sent = False

    def note(self, failure: Exception) -> None:
        """Note why an nsqd did not confirm it."""
        if is_refused_batch(failure):
            self.is_refused = self.alone = True
            return
        self.last = failure
        if isinstance(failure, OutcomeUnknown):
            self.was_sent = True

    def outcome(self, copies: int) -> Exception | None:
        """Return what is known of one that will not be confirmed; None where no nsqd was tried."""
        if self.was_sent or self.confirmed:
            return OutcomeUnknown(
                f"{len(self.confirmed)} of {copies} copies confirmed; {self.last or 'no other nsqd'}; "
                f"publish the same event object again"
            )
        return self.last

    def split(self) -> list[Outgoing]:
        """Return its messages one by one, each in a frame of its own: what is known of it is known of each."""
        singles = [Outgoing(body, alone=True) for body in self.bodies]
        for single in singles:
            single.confirmed, single.last, single.was_sent = self.confirmed, self.last, self.was_sent
        return singles


def parcels(bodies: Sequence[bytes], most_bytes: int) -> Iterator[Outgoing]:
    """Yield many messages in parcels of at most `most_bytes` as they travel; a longer message lies in one of its own.

    Parcels stay small enough for several to be under way.
    """
    most_bytes = min(most_bytes, _MOST_BYTES)
    begin = size = 0
    for place, body in enumerate(bodies):
        size += len(body) + 4
        if place > begin and (size > most_bytes or place - begin == _MOST):
            yield Outgoing(*bodies[begin:place])
            begin, size = place, len(body) + 4
    if bodies:
        yield Outgoing(*bodies[begin:])
