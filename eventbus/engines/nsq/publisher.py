"""Publisher: which nsqd gets a message, and what happens when one fails.

The nearest healthy nsqd first, in the order of the addresses. What was certainly not sent goes to the next one
without the caller noticing; what may have been sent goes there too, with the same bytes and so the same event id,
unless `retry_unknown` is off. With `copies` each message goes to so many distinct nsqd and is confirmed when all of
them did.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import gevent
import gevent.event

from eventbus.engines.nsq.addresses import Address
from eventbus.engines.nsq.handshake import open_session
from eventbus.engines.nsq.links import Link
from eventbus.engines.nsq.options import NsqOptions
from eventbus.engines.nsq.producer import ProducerConnection, Ticket, is_refused_batch
from eventbus.errors import NotSent, OutcomeUnknown, Rejected

_LEAST_PATIENCE = 0.5
_FOR_THE_NEAREST = 0.25
"""Seconds that the first publish gives the nearest nsqd, before whichever answers first is taken."""


class Publisher:
    """Publishes to one of several nsqd, or to several.

    Args:
        addresses: returns the nsqd to publish to, nearest first; asked at the first publish and by `refresh`.
    """

    def __init__(self, addresses: Callable[[], Sequence[Address]], options: NsqOptions) -> None:
        self._addresses = addresses
        self._options = options
        self._links: dict[Address, Link[ProducerConnection]] = {}
        self._changed = gevent.event.Event()
        self._is_started = False
        self._first: ProducerConnection | None = None
        self._has_others = False

    def publish(self, topic: str, body: bytes, *, delay: float, timeout: float) -> None:
        """Return once as many nsqd as asked have confirmed.

        Raises:
            Rejected, NotSent, OutcomeUnknown.
        """
        name = topic.encode()
        deadline = time.monotonic() + timeout
        first = self._first
        if first is not None and first.is_open and first.has_room and not delay and self._options.copies == 1:
            until = self._patience(deadline, 1) if self._has_others else deadline
            try:
                first.submit(name, body).wait(until, first.address)
            except Exception as error:
                self._again(error, name, body, delay, deadline, first)
            return
        self._publish_to(self._options.copies, name, body, delay, deadline)

    def publish_many(self, topic: str, bodies: Sequence[bytes], *, timeout: float) -> None:
        """Publish several; each message keeps its own failover."""
        name = topic.encode()
        deadline = time.monotonic() + timeout
        rest = iter(bodies)
        first = self._first
        if first is not None and first.is_open and self._options.copies == 1:
            tickets: list[tuple[Ticket, bytes]] = []
            while first.has_room and (body := next(rest, None)) is not None:
                tickets.append((first.submit(name, body), body))
            for ticket, body in tickets:
                try:
                    ticket.wait(deadline, first.address)
                except Exception as error:
                    self._again(error, name, body, 0.0, deadline, first)
        for body in rest:
            self.publish(topic, body, delay=0.0, timeout=max(deadline - time.monotonic(), 0.0))

    def _again(
        self, error: Exception, topic: bytes, body: bytes, delay: float, deadline: float, tried: ProducerConnection
    ) -> None:
        """Go on after the first attempt failed, unless the caller must hear of it."""
        if isinstance(error, OutcomeUnknown):
            tried.expire(time.monotonic(), _LEAST_PATIENCE)
        if is_refused_batch(error):
            self._publish_to(1, topic, body, delay, deadline, alone=True)
        elif isinstance(error, NotSent) or (isinstance(error, OutcomeUnknown) and self._options.retry_unknown):
            self._publish_to(1, topic, body, delay, deadline, last=error)
        else:
            raise error

    def _publish_to(
        self,
        copies: int,
        topic: bytes,
        body: bytes,
        delay: float,
        deadline: float,
        *,
        alone: bool = False,
        last: Exception | None = None,
    ) -> None:
        confirmed: set[Address] = set()
        was_sent = isinstance(last, OutcomeUnknown)
        while True:
            wanted = copies - len(confirmed)
            chosen = self._choose(wanted, confirmed)
            patience = self._patience(deadline, len(chosen))
            tickets = [(each, self._submit(each, topic, body, delay, alone)) for each in chosen]
            for connection, ticket in tickets:
                try:
                    ticket.wait(patience, connection.address)
                except Rejected:
                    raise
                except OutcomeUnknown as error:
                    was_sent, last = True, error
                    connection.expire(time.monotonic(), _LEAST_PATIENCE)
                    if not self._options.retry_unknown:
                        raise
                except NotSent as error:
                    last = error
                except Exception as error:
                    if not is_refused_batch(error):
                        raise
                    alone = True
                else:
                    confirmed.add(connection.address)
            if len(confirmed) >= copies:
                return
            if time.monotonic() >= deadline:
                break
            if not chosen or not alone:
                self._wait_for_change(deadline, is_hopeless=not chosen)
        self._give_up(last, was_sent, copies, confirmed)

    def _give_up(self, last: Exception | None, was_sent: bool, copies: int, confirmed: set[Address]) -> None:
        if was_sent or confirmed:
            raise OutcomeUnknown(
                f"{len(confirmed)} of {copies} copies confirmed; {last or 'no other nsqd'}; "
                f"publish the same event object again"
            )
        if last is not None:
            raise last
        reasons = "; ".join(f"{link.address}: {link.last_error or 'no answer yet'}" for link in self._links.values())
        few = f"copies={copies} needs as many nsqd; " if copies > 1 else ""
        raise NotSent(f"{few}no nsqd can be reached ({reasons or 'none is known'}); publish again later")

    def _submit(self, connection: ProducerConnection, topic: bytes, body: bytes, delay: float, alone: bool) -> Ticket:
        if delay:
            return connection.submit_later(topic, body, delay)
        return connection.submit_alone(topic, body) if alone else connection.submit(topic, body)

    def _choose(self, count: int, confirmed: set[Address]) -> list[ProducerConnection]:
        """Return the nearest connections that are up, have room and have not confirmed; none where they are too few."""
        self._start()
        up = [
            link.connection
            for link in self._links.values()
            if link.connection is not None and link.is_up and link.address not in confirmed
        ]
        chosen = [each for each in up if each.has_room][:count]
        self._first = chosen[0] if chosen else None
        self._has_others = len(up) > 1
        return chosen if len(chosen) == count else []

    def _patience(self, deadline: float, chosen: int) -> float:
        """Return until when to wait for these, so that some of the time is left for others."""
        others = sum(1 for link in self._links.values() if link.is_up) - chosen
        left = deadline - time.monotonic()
        return deadline if others <= 0 else time.monotonic() + max(left / 2, min(left, _LEAST_PATIENCE))

    def _wait_for_change(self, deadline: float, *, is_hopeless: bool) -> None:
        self._changed.clear()
        for link in self._links.values():
            if is_hopeless and not link.is_up:
                link.hurry()
        self._changed.wait(min(max(deadline - time.monotonic(), 0.0), 0.05 if is_hopeless else 0.01))

    def _start(self) -> None:
        if not self._is_started:
            self._is_started = True
            self.refresh()
            tried = [link.was_tried for link in self._links.values()]
            gevent.wait(tried[:1], timeout=_FOR_THE_NEAREST)
            if not any(link.is_up for link in self._links.values()):
                gevent.wait(tried, timeout=self._options.connect_timeout, count=1)

    def refresh(self) -> None:
        """Ask for the addresses anew; links that are listed no more are kept while they are up."""
        listed = list(self._addresses())
        for address in listed:
            if address not in self._links:
                self._add(address)
        for address in [each for each, link in self._links.items() if each not in listed and not link.is_up]:
            if listed:
                self._links.pop(address).stop()

    def _add(self, address: Address) -> None:
        def connect(on_down: Callable[[Exception], None]) -> ProducerConnection:
            connection = ProducerConnection(open_session(address, self._options, _no_message), self._options, on_down)
            connection.begin()
            return connection

        self._links[address] = Link(address, connect, ceiling=self._options.reconnect_ceiling, on_change=self._noted)

    def _noted(self) -> None:
        self._first = None
        self._changed.set()

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
        deadline = time.monotonic() + timeout
        while self._pending() and time.monotonic() < deadline:
            gevent.sleep(0.005)
        for link in self._links.values():
            link.stop()
        self._links.clear()

    def _pending(self) -> int:
        return sum(
            link.connection.pending_bytes for link in self._links.values() if link.connection is not None and link.is_up
        )


def _no_message(nanoseconds: int, attempts: int, identifier: bytes, body: bytes) -> None:
    """A producer gets no messages."""
