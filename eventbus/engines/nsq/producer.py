"""Producer: confirmed publishing over one connection to one nsqd.

Theory of operation. nsqd answers commands in order, so what waits for answers is a queue of batches. A lone
publisher's frame is sent at once. While answers are due, publishes gather by topic, and once the hub's loop comes
round each topic's are sent as one MPUB: one answer frees them all. So the slower the network, the larger the batches,
and no timer delays anybody. Many messages that are published together go as one parcel: one MPUB, one answer. Publishers
that were answered go on one after the other (`turns.py`). A message that nsqd would refuse is refused before it is sent;
where an MPUB is refused all the same, its messages are sent again one by one, so that only the guilty one fails. After a
fatal error nsqd reads nothing more: what was sent behind it was not stored.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from gevent.hub import get_hub

from eventbus.engines.nsq.connection import Connection
from eventbus.engines.nsq.frames import (
    ERROR,
    Frame,
    ServerError,
    publish_frame,
    publish_later_frame,
    publish_many_frame,
    read_error,
)
from eventbus.engines.nsq.handshake import Session, describe
from eventbus.engines.nsq.options import NsqOptions
from eventbus.engines.nsq.turns import Turns, Waiter
from eventbus.errors import NotSent, OutcomeUnknown, PublishError, Rejected

_REFUSALS = frozenset({"E_BAD_MESSAGE", "E_BAD_TOPIC", "E_BAD_BODY", "E_INVALID", "E_UNAUTHORIZED"})
"""Errors that the same message would meet again."""
_UNASKED = frozenset({"E_AUTH_FAILED", "E_AUTH_FIRST", "E_AUTH_ERROR"})
"""Errors of an nsqd that cannot ask its authentication server just now: it has stored nothing, and it passes."""
_MOST_PATIENCE = 6
"""So many times the limit for a sign of the peer, it may take to answer while it sends heartbeats."""
_MAX_BATCH = 250
"""Messages of one MPUB that gathered: nsqd stores them while the next are made here; with more, the two take turns."""


class _BatchRefusedError(Exception):
    """An MPUB was refused: its messages must be sent one by one."""


class Ticket:
    """A batch on its way: one or more messages, confirmed together."""

    __slots__ = ("_turns", "_waiting", "bodies", "error", "is_done", "sent_at", "size", "topic")

    def __init__(self, topic: bytes, turns: Turns) -> None:
        self.topic = topic
        self.bodies: list[bytes] = []
        self.size = 4
        self.sent_at = 0.0
        self.is_done = False
        self.error: Exception | None = None
        self._turns = turns
        self._waiting: list[Waiter] = []

    def wait(self, deadline: float, where: object) -> Exception | None:
        """Return when nsqd has answered, at most at the monotonic `deadline`: None when it confirmed, else what is known."""
        if not self.is_done:
            waiter = Waiter(deadline)
            self._waiting.append(waiter)
            self._turns.wait(waiter)
        if self.is_done:
            return self.error
        if not self.sent_at:
            return NotSent(f"nsqd {where}: not sent in time; publish again")
        return OutcomeUnknown(f"nsqd {where}: sent, but not answered in time; publish the same event object again")

    def expire(self, now: float) -> None:
        """Wake those whose time is up. Runs in the hub."""
        self._turns.come([waiter for waiter in self._waiting if waiter.deadline <= now])

    def settle(self, error: Exception | None) -> None:
        """Wake those who wait, once the hub's loop comes round."""
        self.is_done = True
        self.error = error
        self._turns.come(self._waiting)


class ProducerConnection(Connection):
    """Publishes to one nsqd."""

    def __init__(self, session: Session, options: NsqOptions, on_down: Callable[[Exception], None]) -> None:
        super().__init__(session, on_down)
        self._max_body = options.max_body_bytes - 1024
        self._max_pending = options.max_pending_bytes
        self._sent: deque[Ticket] = deque()
        self._gathering: dict[bytes, Ticket] = {}
        self._pending_bytes = 0
        self._will_flush = False
        self._turns = Turns()

    @property
    def has_room(self) -> bool:
        """Whether the unanswered bytes are below the limit."""
        return self._pending_bytes < self._max_pending

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait to be sent or answered."""
        return self._pending_bytes

    def submit(self, topic: bytes, body: bytes) -> Ticket:
        """Send or gather one message; never blocks."""
        if not self._sent and not self._gathering:
            return self._send(Ticket(topic, self._turns), publish_frame(topic, body), (body,))
        ticket = self._gathering.get(topic)
        if ticket is None or len(ticket.bodies) >= _MAX_BATCH or ticket.size + len(body) + 4 > self._max_body:
            if ticket is not None:
                self._send_gathered(topic)
            ticket = self._gathering[topic] = Ticket(topic, self._turns)
        ticket.bodies.append(body)
        ticket.size += len(body) + 4
        self._pending_bytes += len(body) + 4
        if not self._will_flush:
            self._will_flush = True
            get_hub().loop.run_callback(self._flush)
        return ticket

    def submit_parcel(self, topic: bytes, bodies: Sequence[bytes]) -> Ticket:
        """Send several messages as one MPUB, or one with an answer of its own."""
        frame = publish_frame(topic, bodies[0]) if len(bodies) == 1 else publish_many_frame(topic, bodies)
        return self._send(Ticket(topic, self._turns), frame, bodies)

    def submit_later(self, topic: bytes, body: bytes, delay: float) -> Ticket:
        """Send one message that nsqd holds back for `delay` seconds."""
        return self._send(Ticket(topic, self._turns), publish_later_frame(topic, body, round(delay * 1000)), (body,))

    def _send(self, ticket: Ticket, frame: bytes, bodies: Sequence[bytes]) -> Ticket:
        ticket.bodies.extend(bodies)
        size = sum(map(len, bodies)) + 4 * len(bodies)
        ticket.size += size
        self._pending_bytes += size
        self._sent.append(ticket)
        ticket.sent_at = time.monotonic()
        self.send(frame)
        return ticket

    def _flush(self) -> None:
        self._will_flush = False
        for topic in list(self._gathering):
            self._send_gathered(topic)

    def _send_gathered(self, topic: bytes) -> None:
        ticket = self._gathering.pop(topic)
        if not self.is_open:
            self._pending_bytes -= ticket.size - 4
            ticket.settle(NotSent(f"nsqd {self.address}: the connection ended before it was sent"))
            return
        self._sent.append(ticket)
        ticket.sent_at = time.monotonic()
        bodies = ticket.bodies
        self.send(publish_frame(topic, bodies[0]) if len(bodies) == 1 else publish_many_frame(topic, bodies))

    # -- answers ------------------------------------------------------------------------------------------------------

    def on_answer(self, frame: Frame) -> None:
        if not self._sent:
            return
        ticket = self._sent.popleft()
        self._pending_bytes -= ticket.size - 4
        if frame[0] != ERROR:
            ticket.settle(None)
            return
        error = read_error(frame[1])
        ticket.settle(self._judge(ticket, error))
        behind, self._sent = self._sent, deque()
        for each in behind:  # nsqd reads nothing after a fatal error, and all errors of publishing are fatal
            self._pending_bytes -= each.size - 4
            each.settle(NotSent(f"nsqd {self.address}: closed the connection over another message; publish again"))
        self.fail(error)

    def _judge(self, ticket: Ticket, error: ServerError) -> Exception:
        where = f"nsqd {self.address}: topic {ticket.topic.decode()!r}: {error}"
        if len(ticket.bodies) > 1:
            return _BatchRefusedError(where)
        if error.code in _REFUSALS:
            return Rejected(f"{where}; the same message would be refused again")
        if error.code in _UNASKED:
            return NotSent(f"{where}; publish again later")
        return OutcomeUnknown(f"{where}; publish the same event object again")

    def on_closed(self, reason: Exception) -> None:
        unknown, self._sent = self._sent, deque()
        unsent, self._gathering = self._gathering, {}
        self._pending_bytes = 0
        said = describe(reason)
        for ticket in unknown:
            ticket.settle(
                OutcomeUnknown(f"nsqd {self.address}: {said} before the answer; publish the same event object again")
            )
        for ticket in unsent.values():
            ticket.settle(NotSent(f"nsqd {self.address}: {said} before it was sent; publish again"))

    def expire_waiters(self, now: float) -> None:
        """Wake the publishers whose time is up."""
        for ticket in [*self._sent, *self._gathering.values()]:
            ticket.expire(now)

    def expire(self, now: float, limit: float) -> None:
        """End a connection whose oldest frame waits longer than `limit` seconds with no sign of the peer meanwhile, or much
        longer whatever the signs."""
        if self.is_open and self._sent:
            waited = now - self._sent[0].sent_at
            silent = now - max(self._sent[0].sent_at, self.last_read)
            if silent > limit or waited > _MOST_PATIENCE * max(limit, 5.0):
                self.fail(TimeoutError(f"no answer for {waited:.1f} s"))


def is_refused_batch(error: PublishError | Exception | None) -> bool:
    """Whether an error asks for the batch's messages to be sent one by one."""
    return isinstance(error, _BatchRefusedError)
