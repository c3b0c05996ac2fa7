"""Publisher: which nsqd gets a message, and what happens when one fails.

The nearest healthy nsqd first, in the order of the addresses. What was certainly not sent goes to the next one
without the caller noticing; what may have been sent goes there too, with the same bytes and so the same event id,
unless `retry_unknown` is off. With `copies` each message goes to so many distinct nsqd and is confirmed when all of
them did.

Many messages go in parcels, and parcels in rounds: as many as there is room for are sent to all chosen nsqd, and then their
answers awaited. What failed goes into the next round; a parcel that was refused goes message by message.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Sequence

import gevent
import gevent.event

from eventbus.engines.nsq.addresses import Address
from eventbus.engines.nsq.handshake import describe, open_session
from eventbus.engines.nsq.links import Link
from eventbus.engines.nsq.options import NsqOptions
from eventbus.engines.nsq.outgoing import Outgoing, parcels
from eventbus.engines.nsq.producer import ProducerConnection, Ticket
from eventbus.errors import NotSent, OutcomeUnknown, Rejected
from eventbus.runtime.guarded_log import guarded_log
from eventbus.runtime.redaction import several

log = guarded_log("eventbus.nsq")

_LEAST_PATIENCE = 0.5
_FOR_THE_NEAREST = 0.25
"""Seconds that the first publish gives the nearest nsqd, before whichever answers first is taken."""
_WHILE_SOMEBODY_WAITS = 3.0
"""Seconds of the longest pause between attempts to connect while a publish waits for them."""
_LOOK_AGAIN = 1.0
"""Seconds between questions to nsqlookupd while a publish waits and no nsqd is up."""


class Publisher:
    """Publishes to one of several nsqd, or to several.

    Args:
        addresses: returns the nsqd to publish to, nearest first; asked at the first publish and by `refresh`.
        is_given: whether these are addresses that somebody wrote, and not nsqlookupd's.
        on_change: called when a connection came up or went down.
    """

    def __init__(
        self,
        addresses: Callable[[], Sequence[Address]],
        options: NsqOptions,
        *,
        is_given: bool,
        on_change: Callable[[], None],
    ) -> None:
        self._addresses = addresses
        self._options = options
        self._is_given = is_given
        self._on_change = on_change
        self._links: dict[Address, Link[ProducerConnection]] = {}
        self._changed = gevent.event.Event()
        self._is_started = False
        self._is_closed = False
        self._first: ProducerConnection | None = None
        self._has_others = False
        self._looking: gevent.Greenlet[[], None] | None = None
        self._look_after = 0.0
        self._same: set[Address] = set()

    def publish(self, topic: str, body: bytes, *, delay: float, timeout: float) -> None:
        """Return once as many nsqd as asked have confirmed.

        Raises:
            Rejected, NotSent, OutcomeUnknown.
        """
        name = topic.encode()
        deadline = time.monotonic() + timeout
        first = self._first
        message = Outgoing(body)
        if first is not None and first.is_open and first.has_room and not delay and self._options.copies == 1:
            until = self._patience(deadline, 1) if self._has_others else deadline
            failure = first.submit(name, body).wait(until, first.address)
            if failure is None:
                return
            self._note(message, first, failure)
        self._publish(name, deque((message,)), delay, deadline)

    def publish_many(self, topic: str, bodies: Sequence[bytes], *, timeout: float) -> None:
        """Publish several, in parcels; each parcel keeps its own failover."""
        waiting = deque(parcels(bodies, min(self._options.max_body_bytes - 1024, self._options.max_pending_bytes)))
        self._publish(topic.encode(), waiting, 0.0, time.monotonic() + timeout)

    def publish_alone(self, topic: str, body: bytes, *, timeout: float) -> None:
        """Publish what may be larger than our own limit, in a frame of its own."""
        self._publish(topic.encode(), deque((Outgoing(body, alone=True),)), 0.0, time.monotonic() + timeout)

    def _publish(self, topic: bytes, waiting: deque[Outgoing], delay: float, deadline: float) -> None:
        copies = self._options.copies
        self._start()
        while waiting:
            sent: list[tuple[Outgoing, list[tuple[ProducerConnection, Ticket]]]] = []
            chosen: list[ProducerConnection] = []
            for_whom: frozenset[object] | None = None
            while waiting:
                message = waiting[0]
                if message.confirmed != for_whom:
                    for_whom = message.confirmed
                    chosen = self._choose(copies - len(for_whom), for_whom)
                if not chosen or not all(each.is_open and each.has_room for each in chosen):
                    break
                waiting.popleft()
                sent.append((message, [(each, self._submit(each, topic, message, delay)) for each in chosen]))
            patience = self._patience(deadline, copies)
            failed: list[Outgoing] = []
            for message, tickets in sent:
                if not self._settle(message, tickets, patience):
                    failed.extend(message.split() if message.is_refused else (message,))
            waiting.extendleft(reversed(failed))
            if not waiting:
                return
            if time.monotonic() >= deadline or self._is_closed:
                self._give_up(waiting[0], copies)
            if not sent or not all(message.alone for message in failed):
                self._wait_for_change(deadline, is_hopeless=not chosen)

    def _settle(self, message: Outgoing, tickets: list[tuple[ProducerConnection, Ticket]], until: float) -> bool:
        """Wait for the answers; return whether the message has as many copies as asked, and note what is known if not."""
        for connection, ticket in tickets:
            failure = ticket.wait(until, connection.address)
            if failure is None:
                message.confirmed |= {connection.peer}
            else:
                self._note(message, connection, failure)
        return len(message.confirmed) >= self._options.copies

    def _note(self, message: Outgoing, connection: ProducerConnection, failure: Exception) -> None:
        message.note(failure)
        is_unknown = isinstance(failure, OutcomeUnknown)
        if is_unknown:
            connection.expire(time.monotonic(), _LEAST_PATIENCE)
        if isinstance(failure, Rejected) or (is_unknown and not self._options.retry_unknown):
            raise failure

    def _give_up(self, message: Outgoing, copies: int) -> None:
        if (known := message.outcome(copies)) is not None:
            raise known
        reasons = several(f"{link.address}: {self._reason(link)}" for link in self._links.values())
        few = f"copies={copies} needs as many distinct nsqd; " if copies > 1 else ""
        none = "the bus was closed" if self._is_closed else "none is known"
        raise NotSent(f"{few}no nsqd can be reached ({reasons or none}); publish again later")

    def _reason(self, link: Link[ProducerConnection]) -> str:
        return "is the same nsqd as another" if link.address in self._same else link.last_error or "no answer yet"

    def _submit(self, connection: ProducerConnection, topic: bytes, message: Outgoing, delay: float) -> Ticket:
        if delay:
            return connection.submit_later(topic, message.bodies[0], delay)
        if message.alone or len(message.bodies) > 1:
            return connection.submit_parcel(topic, message.bodies)
        return connection.submit(topic, message.bodies[0])

    def _choose(self, count: int, confirmed: frozenset[object]) -> list[ProducerConnection]:
        """Return the nearest connections that are up, have room and have not confirmed; none where they are too few."""
        distinct: dict[object, ProducerConnection] = {}
        for link in self._links.values():
            connection = link.connection
            if connection is None or not link.is_up or connection.peer in confirmed:
                continue
            if connection.peer in distinct:
                self._note_same(link.address, distinct[connection.peer].address)
            else:
                distinct[connection.peer] = connection
        chosen = [each for each in distinct.values() if each.has_room][:count]
        self._first = chosen[0] if chosen else None
        self._has_others = len(distinct) > 1
        return chosen if len(chosen) == count else []

    def _note_same(self, address: Address, other: Address) -> None:
        if address not in self._same:
            self._same.add(address)
            log.warning("nsqd %s and %s are the same nsqd under two names: counted once", other, address)

    def _patience(self, deadline: float, chosen: int) -> float:
        """Return until when to wait for these, so that some of the time is left for others."""
        others = sum(1 for link in self._links.values() if link.is_up) - chosen
        left = deadline - time.monotonic()
        return deadline if others <= 0 else time.monotonic() + max(left / 2, min(left, _LEAST_PATIENCE))

    def _wait_for_change(self, deadline: float, *, is_hopeless: bool) -> None:
        self._changed.clear()
        if is_hopeless:
            for link in self._links.values():
                if not link.is_up:
                    link.hurry(_WHILE_SOMEBODY_WAITS)
            self.look_again()
        self._changed.wait(min(max(deadline - time.monotonic(), 0.0), 0.05 if is_hopeless else 0.01))

    def _start(self) -> None:
        if not self._is_started:
            self._is_started = True
            self._look_after = time.monotonic() + _LOOK_AGAIN
            self.refresh()
            tried = [link.was_tried for link in self._links.values()]
            gevent.wait(tried[:1], timeout=_FOR_THE_NEAREST)
            if not any(link.is_up for link in self._links.values()):
                gevent.wait(tried, timeout=self._options.connect_timeout, count=1)

    def look_again(self) -> None:
        """Ask for the addresses anew in a greenlet, unless that is under way or was done a moment ago."""
        now = time.monotonic()
        if not self._is_given and now >= self._look_after and not self._looking and not self._is_closed:
            self._look_after = now + _LOOK_AGAIN * random.uniform(0.7, 1.3)
            self._looking = gevent.spawn(self.refresh)

    def refresh(self) -> None:
        """Ask for the addresses anew; links that are listed no more are kept while they are up. May block."""
        try:
            listed = list(self._addresses())
        except Exception as error:
            log.warning("the nsqd to publish to could not be looked up: %s", describe(error))
            return
        if self._is_closed:
            return
        for address in listed:
            link = self._links.get(address)
            if link is None:
                self._add(address)
            elif link.missed_rounds:
                link.missed_rounds = 0
                link.hurry(_LOOK_AGAIN)
        for address in [each for each, link in self._links.items() if each not in listed and not link.is_up]:
            if listed:
                self._links.pop(address).stop()

    def _add(self, address: Address) -> None:
        def connect(on_down: Callable[[Exception], None]) -> ProducerConnection:
            session = open_session(address, self._options, _no_message, is_given=self._is_given)
            connection = ProducerConnection(session, self._options, on_down)
            connection.begin()
            return connection

        self._links[address] = Link(address, connect, ceiling=self._options.reconnect_ceiling, on_change=self._noted)

    def _noted(self) -> None:
        self._first = None
        self._changed.set()
        self._on_change()

    def expire(self, now: float) -> None:
        """Wake the publishers whose time is up."""
        for link in self._links.values():
            if link.connection is not None:
                link.connection.expire_waiters(now)

    def tick(self, now: float, answer_limit: float) -> None:
        """Once a second: notice peers that are silent or do not answer."""
        for link in self._links.values():
            if link.connection is not None and link.is_up:
                link.connection.check(now)
                link.connection.expire(now, answer_limit)

    @property
    def is_started(self) -> bool:
        """Whether somebody has published."""
        return self._is_started

    def close(self, timeout: float) -> None:
        """Wait for the answers that are due, then end."""
        self._is_closed = True
        deadline = time.monotonic() + timeout
        while self._pending() and time.monotonic() < deadline:
            gevent.sleep(0.005)
        if self._looking is not None:
            self._looking.kill(block=False)
        for link in self._links.values():
            link.stop()
        self._links.clear()

    def abandon(self) -> None:
        """In a forked child: let go of everything, and touch nothing that is the parent's."""
        self._is_closed = True
        self._first = None
        for link in self._links.values():
            if link.connection is not None:
                link.connection.abandon()
            link.abandon()
        if self._looking is not None:
            self._looking.kill(block=False)

    def _pending(self) -> int:
        up = [link.connection for link in self._links.values() if link.is_up]
        return sum(each.pending_bytes for each in up if each is not None)


def _no_message(nanoseconds: int, attempts: int, identifier: bytes, body: bytes) -> None:
    """A producer gets no messages."""
