"""Consumer: one subscription over all nsqd that have its topic."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

import gevent
import gevent.event

from eventbus.engines.base import Receiver
from eventbus.engines.nsq.addresses import Address
from eventbus.engines.nsq.deliveries import ConsumerConnection, NsqDelivery, QuietWatch
from eventbus.engines.nsq.discovery import Lookup
from eventbus.engines.nsq.handshake import open_session
from eventbus.engines.nsq.links import Link
from eventbus.engines.nsq.options import NsqOptions
from eventbus.engines.nsq.ready import grant, shares

log = logging.getLogger("eventbus.nsq")

_FORGET_AFTER = 3
"""Rounds of lookup that no longer list an nsqd, after which a lost one is not tried any more."""
_TO_FLUSH = 1.0


class NsqSubscription:
    """A channel's deliveries from several nsqd, at most `max_in_flight` of them unanswered.

    Args:
        nsqds: addresses to consume from, or none to ask `lookup`.
        on_closed: called once when the subscription has ended.
    """

    def __init__(
        self,
        topic: str,
        channel: str,
        receiver: Receiver,
        *,
        nsqds: tuple[Address, ...],
        lookup: Lookup | None,
        options: NsqOptions,
        quiet_watch: QuietWatch,
        max_in_flight: int,
        message_timeout: float,
        on_closed: Callable[[NsqSubscription], None],
    ) -> None:
        self.topic = topic
        self.channel = channel
        self.message_timeout = message_timeout
        self._asked_timeout = message_timeout
        self._receiver = receiver
        self._lookup = lookup
        self._options = options
        self._quiet_watch = quiet_watch
        self._max_in_flight = max_in_flight
        self._on_closed = on_closed
        self._links: dict[Address, Link[ConsumerConnection]] = {}
        self._turn = 0
        self._is_stopping = False
        self._is_closed = False
        self._look_now = gevent.event.Event()
        self._poller: gevent.Greenlet[[], None] | None = None
        for address in nsqds:
            self._add(address)
        if lookup is not None:
            self._look()
            self._poller = gevent.spawn(self._poll)

    def wait_until_tried(self, timeout: float) -> None:
        """Return when each nsqd known now is connected or has failed once."""
        gevent.wait([link.was_tried for link in self._links.values()], timeout=timeout)

    # -- where to consume ---------------------------------------------------------------------------------------------

    def _poll(self) -> None:
        while True:
            # jitter, so that a fleet that started together does not ask together
            interval = self._options.lookup_interval * random.uniform(0.85, 1.15)
            if self._look_now.wait(interval):
                gevent.sleep(random.uniform(0.05, 0.25))
                self._look_now.clear()
            try:
                self._look()
            except Exception:  # the polling must outlive everything
                log.exception("lookup of topic %s failed", self.topic)

    def _look(self) -> None:
        assert self._lookup is not None
        found = self._lookup.topic(self.topic)
        if self._is_stopping or not found.answered:
            return
        listed = {node.tcp for node in found.nodes}
        for address in listed:
            if address in self._links:
                self._links[address].missed_rounds = 0
                self._links[address].hurry()
            else:
                self._add(address)
        for address in list(self._links.keys() - listed):
            link = self._links[address]
            link.missed_rounds += 1
            if link.missed_rounds >= _FORGET_AFTER and not link.is_up:
                log.info("nsqd %s is listed no more for topic %s: forgotten", address, self.topic)
                self._links.pop(address).stop()

    def _add(self, address: Address) -> None:
        def connect(on_down: Callable[[Exception], None]) -> ConsumerConnection:
            return self._connect(address, on_down)

        self._links[address] = Link(
            address, connect, ceiling=self._options.reconnect_ceiling, on_change=self._connections_changed
        )

    def _connect(self, address: Address, on_down: Callable[[Exception], None]) -> ConsumerConnection:
        session = open_session(address, self._options, NsqDelivery, message_timeout=self._asked_timeout)
        self.message_timeout = session.features.message_timeout
        answer: gevent.event.AsyncResult[None] = gevent.event.AsyncResult()
        connection = ConsumerConnection(
            session,
            self.topic,
            self.channel,
            self._receiver,
            self._quiet_watch,
            max_delay=self._options.max_delay,
            on_subscribed=lambda _: answer.set(None),
            on_down=lambda reason: on_down(reason) if answer.ready() else answer.set_exception(reason),
        )
        try:
            connection.subscribe()
            with gevent.Timeout(self._options.connect_timeout, TimeoutError("no answer to SUB")):
                answer.get()
        except BaseException:
            connection.close()
            raise
        return connection

    def _connections_changed(self) -> None:
        self._look_now.set()
        self.redistribute()

    # -- how much to hold ---------------------------------------------------------------------------------------------

    @property
    def connections(self) -> list[ConsumerConnection]:
        """The connections that are up."""
        return [link.connection for link in list(self._links.values()) if link.connection is not None and link.is_up]

    @property
    def in_flight(self) -> int:
        return sum(connection.in_flight for connection in self.connections)

    @property
    def is_connected(self) -> bool:
        return any(link.is_up for link in list(self._links.values()))

    @property
    def is_starved(self) -> bool:
        """Whether some connection holds nearly all that it may: more in flight would be used."""
        return any(each.in_flight >= 0.85 * each.window.limit > 0 for each in self.connections)

    def set_max_in_flight(self, count: int) -> None:
        self._max_in_flight = count
        self.redistribute()

    def redistribute(self) -> None:
        """Share max in flight among the connections that are up."""
        if self._is_stopping:
            return
        connections = self.connections
        wanted = [
            min(share, each.features.max_rdy)
            for share, each in zip(shares(self._max_in_flight, len(connections), self._turn), connections, strict=True)
        ]
        granted = grant(
            self._max_in_flight,
            wanted,
            [each.window.limit for each in connections],
            [each.in_flight for each in connections],
        )
        for connection, limit in sorted(
            zip(connections, granted, strict=True), key=lambda pair: pair[1] - pair[0].window.limit
        ):
            connection.allow(limit)  # what is lowered first

    def tick(self, now: float) -> None:
        """Once a second: notice silent peers, and move shares on where they are fewer than connections."""
        connections = self.connections
        for connection in connections:
            connection.check(now)
        if 0 < self._max_in_flight < len(connections):
            self._turn += 1
        self.redistribute()

    # -- the end ------------------------------------------------------------------------------------------------------

    def stop(self, *, timeout: float) -> None:
        if self._is_stopping:
            return
        self._is_stopping = True
        if self._poller is not None:
            self._poller.kill(block=False)
        connections = self.connections
        for link in self._links.values():
            if not link.is_up:
                link.stop()
        for connection in connections:
            connection.stop_receiving()
        gevent.wait([each.has_stopped for each in connections], timeout=timeout)

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self.stop(timeout=0.0)
        connections = self.connections
        for connection in connections:
            connection.flush()
        deadline = time.monotonic() + _TO_FLUSH
        while any(each.is_open and each.unsent for each in connections) and time.monotonic() < deadline:
            gevent.sleep(0.001)
        for link in self._links.values():
            link.stop()
        self._links.clear()
        self._on_closed(self)
