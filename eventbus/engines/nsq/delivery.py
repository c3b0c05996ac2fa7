"""Delivery: one message that nsqd handed to us, and how it is answered."""

from __future__ import annotations

from math import ceil
from time import monotonic
from typing import Any, Protocol

from eventbus.engines.nsq.handshake import Features
from eventbus.engines.nsq.intake import Intake


class Holder(Protocol):
    """The connection that a delivery came over and is answered on."""

    features: Features
    intake: Intake
    held: set[Any]
    answers: list[bytes]
    will_flush: bool
    is_open: bool
    max_delay: float

    def answer(self, line: bytes) -> None: ...

    def flush_soon(self) -> None: ...

    def let_go(self, delivery: Any) -> None: ...


class NsqDelivery:
    """One message that nsqd handed to us. Answers are collected and sent together once the hub's loop comes round.

    It is held until it is answered, until its time at nsqd is up, or until its connection ends: after that nsqd has given it
    to somebody else. An answer that comes late is sent all the same, since nsqd looks at its timers only now and then.
    """

    __slots__ = ("_connection", "_nanoseconds", "_received", "_until", "attempts", "body", "held_since", "id")

    def __init__(self, nanoseconds: int, attempts: int, identifier: bytes, body: bytes) -> None:
        self.id = identifier
        self.body = body
        self.attempts = attempts
        self.held_since = 0.0
        self._nanoseconds = nanoseconds
        self._connection: Holder | None = None

    @property
    def timestamp(self) -> float:
        return self._nanoseconds / 1e9

    @property
    def size(self) -> int:
        return len(self.body)

    @property
    def is_held(self) -> bool:
        connection = self._connection
        return connection is not None and connection.is_open and monotonic() < self._until

    def take(self, connection: Holder, now: float, until: float) -> None:
        """Belong to a connection from now on."""
        self._connection = connection
        self._received = now
        self._until = until

    def forget(self) -> None:
        """Belong to nobody any more: the connection ended."""
        self._connection = None

    def is_over(self, now: float) -> bool:
        """Whether nsqd has given it to somebody else since its time was up."""
        return self._until <= now

    def finish(self) -> None:
        connection = self._connection
        if connection is not None:
            self._connection = None
            try:
                connection.held.remove(self)  # not by a method: this is the way of every message
            except KeyError:
                pass
            else:
                connection.intake.used -= len(self.body)
            connection.answers.append(b"FIN %b\n" % self.id)
            if not connection.will_flush:
                connection.flush_soon()

    def requeue(self, delay: float = 0.0) -> None:
        connection = self._connection
        if connection is not None:
            # rounded up: a retry that comes early would be a retry too soon. Before anything else: what is let go and not
            # answered would take the place of another at nsqd until its time is up
            milliseconds = ceil(min(max(delay, 0.0), connection.max_delay) * 1000)
            self._connection = None
            connection.let_go(self)
            connection.answer(b"REQ %b %d\n" % (self.id, milliseconds))

    def give_back(self) -> bool:
        return self._connection is None  # nsqd counts a delivery when it sends it

    def touch(self) -> None:
        connection = self._connection
        now = monotonic()
        if connection is not None and now < self._until:
            features = connection.features
            self._until = min(now + features.message_timeout, self._received + features.max_message_timeout)
            connection.answer(b"TOUCH %b\n" % self.id)


class CutDelivery(NsqDelivery):
    """The head of a message that is too long to be read."""

    __slots__ = ("_size",)

    def __init__(self, nanoseconds: int, attempts: int, identifier: bytes, head: bytes, size: int) -> None:
        super().__init__(nanoseconds, attempts, identifier, head)
        self._size = size

    @property
    def size(self) -> int:
        return self._size
