"""Deliveries: the connection that they come over and are answered on."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

import gevent.event
from gevent.hub import get_hub
from gnsq import protocol

from eventbus.engines.base import Receiver
from eventbus.engines.nsq.connection import Connection
from eventbus.engines.nsq.delivery import NsqDelivery
from eventbus.engines.nsq.frames import CLOSE_WAIT, ERROR, Frame, ProtocolError, read_error
from eventbus.engines.nsq.handshake import Session
from eventbus.engines.nsq.intake import Intake
from eventbus.engines.nsq.ready import Window
from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.nsq")

_COMPLAIN_EVERY = 10.0
_STALL = 1.0
"""Seconds since its last tick after which the hub counts as having been blocked."""


class QuietWatch(Protocol):
    """Tells connections in a flood when it is over."""

    def add(self, connection: ConsumerConnection) -> None: ...


class ConsumerConnection(Connection):
    """One nsqd's part of a channel.

    Args:
        receiver: takes the deliveries.
        intake: counts the bytes of all connections.
        on_subscribed: called when nsqd has confirmed the subscription.
        on_spare: called when deliveries were answered that others wait for.
    """

    def __init__(
        self,
        session: Session,
        topic: str,
        channel: str,
        receiver: Receiver,
        quiet_watch: QuietWatch,
        intake: Intake,
        *,
        max_delay: float,
        on_subscribed: Callable[[ConsumerConnection], None],
        on_spare: Callable[[], None],
        on_down: Callable[[Exception], None],
    ) -> None:
        super().__init__(session, on_down)
        self.max_delay = max_delay
        self.held: set[NsqDelivery] = set()
        self.intake = intake
        self.peak = 0
        """Most deliveries held at a time since the shares were looked at last."""
        self.last_message = 0.0
        self.owes = False
        """Whether others wait for what is held here above the share."""
        self._mean = 0.0
        self._most_ready = 0
        self._on_spare = on_spare
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

    @property
    def in_flight(self) -> int:
        """Deliveries that are held."""
        return len(self.held)

    def on_messages(self, messages: list[Any], size: int) -> None:
        now = self.last_read
        # while the hub was blocked they may have lain in the socket since the last moment at which it was not
        arrived = now if now - self.intake.awake < _STALL else self.intake.awake
        until = arrived + self.features.message_timeout
        total = 0
        for delivery in messages:
            delivery.take(self, arrived, until)
            total += len(delivery.body)
        held = self.held
        held.update(messages)
        self.intake.used += total
        self.last_message = now
        in_flight = len(held)
        if in_flight > self.peak:
            self.peak = in_flight
            if in_flight > 2 * self._most_ready and arrived == now:  # twice: nsqd may have given up on as many as it pushes
                raise ProtocolError(f"{in_flight:,} messages were pushed and RDY never passed {self._most_ready:,}")
        mean = total / len(messages)
        self._mean = mean if mean > self._mean else self._mean + (mean - self._mean) / 8
        if self.window.received(in_flight, self.ready, size, now - self._last_answer):
            self._quiet_watch.add(self)
        self._receiver(messages)
        self.flush_soon()  # after the workers, which are scheduled already: often nothing is left to hold then

    def let_go(self, delivery: NsqDelivery) -> None:
        """Hold a delivery no more."""
        if delivery in self.held:
            self.held.remove(delivery)
            self.intake.used -= len(delivery.body)

    def drop_what_is_over(self, now: float) -> None:
        """Hold no more what nsqd has given to somebody else."""
        for delivery in [each for each in self.held if each.is_over(now)]:
            self.let_go(delivery)

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
        for delivery in list(self.held):
            self.let_go(delivery)
            delivery.forget()
        self.intake.freed()
        self.has_stopped.set()

    def _complain_late(self, text: str) -> None:
        self._late += 1
        now = monotonic()
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
            in_flight = len(self.held)
            ready = self.window.ready(in_flight)
            room = self.intake.room(self._mean)
            if in_flight + room < ready:
                ready = max(in_flight + room, 1)
                self.intake.cut(self)
            if ready != self.ready:
                self.ready = ready
                self._most_ready = max(self._most_ready, ready)
                answers.insert(0, b"RDY %d\n" % ready)
        if answers:
            self._last_answer = monotonic()
            data = b"".join(answers)
            answers.clear()
            self.send(data)
            self.intake.freed()
            if self.owes:
                self._on_spare()

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
