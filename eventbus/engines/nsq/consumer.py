"""Consumer: one subscription over all nsqd that have its topic."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import gevent
import gevent.event

from eventbus.engines.base import Receiver
from eventbus.engines.nsq.addresses import Address
from eventbus.engines.nsq.declaring import YOUNG
from eventbus.engines.nsq.deliveries import ConsumerConnection, QuietWatch
from eventbus.engines.nsq.delivery import CutDelivery, NsqDelivery
from eventbus.engines.nsq.discovery import Lookup
from eventbus.engines.nsq.distribution import Distribution
from eventbus.engines.nsq.handshake import open_session
from eventbus.engines.nsq.intake import Intake
from eventbus.engines.nsq.links import Link
from eventbus.engines.nsq.options import NsqOptions
from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.nsq")

_FORGET_AFTER = 3
"""Rounds of lookup that no longer list an nsqd, after which a lost one is not tried any more."""
_FOR_A_RETURN = 1.0
"""Seconds that the pause before connecting lasts at most, once a lost nsqd is listed anew."""
_TO_FLUSH = 1.0


class NsqSubscription:
    """A channel's deliveries from several nsqd, at most `max_in_flight` of them unanswered.

    Args:
        nsqds: addresses to consume from, or none to ask `lookup`.
        intake: counts the bytes that all subscriptions hold.
        client: who subscribes, as people see it at nsqd.
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
        intake: Intake,
        max_in_flight: int,
        message_timeout: float,
        client: str,
        on_closed: Callable[[NsqSubscription], None],
    ) -> None:
        self.topic = topic
        self.channel = channel
        self.message_timeout = message_timeout
        self.exact_from = 0.0
        self._asked_timeout = message_timeout
        self._client = client
        self._receiver = receiver
        self._nsqds = nsqds
        self._lookup = lookup
        self._options = options
        self._quiet_watch = quiet_watch
        self._intake = intake
        self._on_closed = on_closed
        self._links: dict[Address, Link[ConsumerConnection]] = {}
        self._shares = Distribution(max_in_flight)
        self._is_stopping = False
        self._is_closed = False
        self._look_now = gevent.event.Event()
        self._poller: gevent.Greenlet[[], None] | None = None

    def open(self, timeout: float) -> None:
        """Connect; return when each nsqd known now is connected or has failed once, or after `timeout` seconds."""
        for address in self._nsqds:
            self._add(address)
        if self._lookup is not None:
            self._look()
            if self._is_stopping:
                return
            self._poller = gevent.spawn(self._poll)
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
            link = self._links.get(address)
            if link is None:
                self._add(address)
            elif link.missed_rounds:
                link.missed_rounds = 0
                link.hurry(_FOR_A_RETURN)  # it went and is listed anew: it was started again
        for address in list(self._links.keys() - listed):
            link = self._links[address]
            link.missed_rounds += 1
            if link.missed_rounds >= _FORGET_AFTER and not link.is_up:
                log.info("nsqd %s is listed no more for topic %s: forgotten", address, self.topic)
                self._links.pop(address).stop()

    def _add(self, address: Address) -> None:
        def connect(on_down: Callable[[Exception], None]) -> ConsumerConnection:
            return self._connect(address, on_down)

        if not self._is_stopping:
            self._links[address] = Link(
                address, connect, ceiling=self._options.reconnect_ceiling, on_change=self._connections_changed
            )

    def _connect(self, address: Address, on_down: Callable[[Exception], None]) -> ConsumerConnection:
        session = open_session(
            address,
            self._options,
            NsqDelivery,
            CutDelivery,
            message_timeout=self._asked_timeout,
            client=self._client,
            is_given=self._lookup is None,
        )
        self.message_timeout = session.features.message_timeout
        answer: gevent.event.AsyncResult[None] = gevent.event.AsyncResult()
        connection = ConsumerConnection(
            session,
            self.topic,
            self.channel,
            self._receiver,
            self._quiet_watch,
            self._intake,
            max_delay=self._options.max_delay,
            on_subscribed=lambda _: answer.set(None),
            on_spare=self.redistribute,
            on_down=lambda reason: on_down(reason) if answer.ready() else answer.set_exception(reason),
        )
        try:
            connection.subscribe()
            with gevent.Timeout(self._options.connect_timeout, TimeoutError("no answer to SUB")):
                answer.get()
        except BaseException:
            connection.close()
            raise
        self.exact_from = time.monotonic() + YOUNG  # it may have made the channel just now
        return connection

    def _connections_changed(self) -> None:
        if len(self.connections) < len(self._links):
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
        self._shares.total = count
        self.redistribute()

    def redistribute(self) -> None:
        """Share max in flight among the connections that are up."""
        if not self._is_stopping:
            self._shares.apply(self.connections)

    def tick(self, now: float, *, is_slow: bool) -> None:
        """Every 50 ms: move turns on where deliveries are scarce. In a slow tick, each half second: notice silent peers,
        drop what nsqd has given to others, and lend shares that lie idle."""
        if self._is_stopping:
            return
        connections = self.connections
        if is_slow:
            for connection in connections:
                connection.check(now)
                connection.drop_what_is_over(now)
        if self._shares.is_due(connections, now, is_slow=is_slow):
            self.redistribute()

    def abandon(self) -> None:
        """In a forked child: let go of everything, and touch nothing that is the parent's."""
        self._is_stopping = self._is_closed = True
        for connection in self.connections:
            connection.abandon()
        for link in self._links.values():
            link.abandon()
        if self._poller is not None:
            self._poller.kill(block=False)

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
