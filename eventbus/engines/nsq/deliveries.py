"""Deliveries from nsqd, and the connection that they come over and are answered on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from math import ceil
from typing import Any, Protocol

import gevent.event
from gevent.hub import get_hub
from gnsq import protocol

from eventbus.engines.base import Receiver
from eventbus.engines.nsq.connection import Connection
from eventbus.engines.nsq.frames import CLOSE_WAIT, ERROR, Frame, read_error
from eventbus.engines.nsq.handshake import Session
from eventbus.engines.nsq.ready import Window

log = logging.getLogger("eventbus.nsq")

_COMPLAIN_EVERY = 10.0


class NsqDelivery:
    """One message that nsqd handed to us. Answers are collected and sent together once the hub's loop comes round."""

    __slots__ = ("_connection", "_nanoseconds", "attempts", "body", "held_since", "id")

    def __init__(self, nanoseconds: int, attempts: int, identifier: bytes, body: bytes) -> None:
        self.id = identifier
        self.body = body
        self.attempts = attempts
        self.held_since = 0.0
        self._nanoseconds = nanoseconds
        self._connection: ConsumerConnection | None = None

    @property
    def timestamp(self) -> float:
        return self._nanoseconds / 1e9

    def finish(self) -> None:
        connection = self._connection
        if connection is not None:
            self._connection = None
            connection.in_flight -= 1
            connection.answers.append(b"FIN %b\n" % self.id)  # not by `answer`: this is the way of every message
            if not connection.will_flush:
                connection.flush_soon()

    def requeue(self, delay: float = 0.0) -> None:
        connection = self._connection
        if connection is not None:
            self._connection = None
            connection.in_flight -= 1
            # rounded up: a retry that comes early would be a retry too soon
            milliseconds = ceil(min(max(delay, 0.0), connection.max_delay) * 1000)
            connection.answer(b"REQ %b %d\n" % (self.id, milliseconds))

    def give_back(self) -> bool:
        return self._connection is None  # nsqd counts a delivery when it sends it

    def touch(self) -> None:
        if self._connection is not None:
            self._connection.answer(b"TOUCH %b\n" % self.id)


class QuietWatch(Protocol):
    """Tells connections in a flood when it is over."""

    def add(self, connection: ConsumerConnection) -> None: ...


class ConsumerConnection(Connection):
    """One nsqd's part of a channel.

    Args:
        receiver: takes the deliveries.
        on_subscribed: called when nsqd has confirmed the subscription.
        on_answered: called when deliveries were answered while the share is not yet what it should be.
    """

    def __init__(
        self,
        session: Session,
        topic: str,
        channel: str,
        receiver: Receiver,
        quiet_watch: QuietWatch,
        *,
        max_delay: float,
        on_subscribed: Callable[[ConsumerConnection], None],
        on_down: Callable[[Exception], None],
    ) -> None:
        super().__init__(session, on_down)
        self.max_delay = max_delay
        self.in_flight = 0
        self.is_subscribed = False
        self.is_stopping = False
        self.has_stopped = gevent.event.Event()
        self.window = Window()
        self.ready = 0
        self._topic = topic
        self._channel = channel
        self._receiver = receiver
        self._quiet_watch = quiet_watch
        self._on_subscribed = on_subscribed
        self.answers: list[bytes] = []
        self.will_flush = False
        self._last_answer = 0.0
        self._late = 0
        self._complained = 0.0
        self._run_callback = get_hub().loop.run_callback

    def subscribe(self) -> None:
        """Ask for the channel; nsqd makes topic and channel where they are missing."""
        self.begin()
        self.send(protocol.subscribe(self._topic, self._channel))

    # -- incoming -----------------------------------------------------------------------------------------------------

    def on_messages(self, messages: list[Any], size: int) -> None:
        for delivery in messages:
            delivery._connection = self
        self.in_flight += len(messages)
        if self.window.received(self.in_flight, self.ready, size, self.last_read - self._last_answer):
            self._quiet_watch.add(self)
        self._receiver(messages)
        self.flush_soon()  # after the workers, which are scheduled already: often nothing is left to hold then

    def on_answer(self, frame: Frame) -> None:
        kind, data = frame
        if kind == ERROR:
            error = read_error(data)
            if error.is_fatal:
                self.fail(error)
            else:
                self._complain_late(error.text)
        elif not self.is_subscribed:
            self.is_subscribed = True
            self._on_subscribed(self)
        elif data == CLOSE_WAIT:
            self.has_stopped.set()

    def on_closed(self, reason: Exception) -> None:
        self.answers.clear()
        self.has_stopped.set()

    def _complain_late(self, text: str) -> None:
        self._late += 1
        now = time.monotonic()
        if now - self._complained > _COMPLAIN_EVERY:
            log.warning(
                "%s: %d answers came after the message timeout, so those deliveries are made again; the last: %s",
                self.address,
                self._late,
                text,
            )
            self._complained, self._late = now, 0

    # -- answering ----------------------------------------------------------------------------------------------------

    def answer(self, line: bytes) -> None:
        """Queue an answer for the next flush."""
        self.answers.append(line)
        self.flush_soon()

    def flush_soon(self) -> None:
        """Have the answers sent once the hub's loop comes round."""
        if not self.will_flush:
            self.will_flush = True
            self._run_callback(self.flush)

    def flush(self) -> None:
        """Send the queued answers, and RDY where another is right now: first, so that it holds for what the answers free."""
        self.will_flush = False
        if not self.is_open:
            return
        answers = self.answers
        if self.is_subscribed and not self.is_stopping:
            ready = self.window.ready(self.in_flight)
            if ready != self.ready:
                self.ready = ready
                answers.insert(0, b"RDY %d\n" % ready)
        if answers:
            self._last_answer = time.monotonic()
            data = b"".join(answers)
            answers.clear()
            self.send(data)

    def allow(self, limit: int) -> None:
        """Set the share of max in flight."""
        if limit != self.window.limit:
            self.window.limit = limit
            self.window.credit = max(1, min(self.window.credit, limit))
            self.flush_soon()

    def check_quiet(self, now: float) -> bool:
        """Whether the flood is over; RDY goes back then."""
        if self.is_open and now - max(self.last_read, self._last_answer) < 0.001:
            return False
        self.window.quiet()
        self.flush_soon()
        return True

    def stop_receiving(self) -> None:
        """Ask nsqd to push no more; it confirms with CLOSE_WAIT and still takes answers."""
        if self.is_open and not self.is_stopping:
            self.flush()
            self.is_stopping = True
            if self.is_subscribed:
                self.send(b"RDY 0\nCLS\n")
            else:
                self.has_stopped.set()
