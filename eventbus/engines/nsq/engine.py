"""The NSQ engine: a real NSQ cluster carries the bus, with no change to any service.

nsq://lookup1:4161,lookup2:4161?publish=nsqd1:4150,nsqd2:4150     consume from whatever nsqlookupd lists
nsq+direct://nsqd1:4150,nsqd2:4150                                consume from these, without nsqlookupd
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from gevent.hub import get_hub

from eventbus.engines.base import Receiver, TopicStats
from eventbus.engines.nsq.addresses import Address, parse_addresses
from eventbus.engines.nsq.admin import Admin
from eventbus.engines.nsq.consumer import NsqSubscription
from eventbus.engines.nsq.declaring import Declarations
from eventbus.engines.nsq.discovery import Lookup, Node
from eventbus.engines.nsq.http import HttpClient
from eventbus.engines.nsq.intake import MAX_IN_FLIGHT_BYTES, Intake
from eventbus.engines.nsq.layers import check_layers
from eventbus.engines.nsq.options import NsqOptions
from eventbus.engines.nsq.publisher import Publisher
from eventbus.engines.nsq.quiet import QuietTimer
from eventbus.engines.nsq.reaching import reach
from eventbus.engines.url import read_options
from eventbus.errors import BusStateError, ConfigurationError, Rejected
from eventbus.names import check_name
from eventbus.runtime.clock import Clock, SystemClock
from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.nsq")

LOOKUP_PORT = 4161
_TICK = 0.05
"""Seconds between two looks at the time limits of publishers."""
_STALL, _MAX_STALLS = 0.25, 20
"""A tick that comes so many seconds after the last one says that the hub was blocked; so many in a row are believed."""
_SLOW_TICKS = 10
"""Every so many ticks connections are checked and shares moved on."""
_ANSWER_LIMIT = 5.0
"""Seconds without an answer after which an nsqd that should confirm a publish counts as hanging."""


class NsqEngine:
    """See the module's docstring.

    Args:
        lookupds: HTTP addresses of nsqlookupd.
        nsqds: TCP addresses of nsqd, where there is no nsqlookupd.
        accept: filter on the nsqd that nsqlookupd lists.
    """

    scheme = "nsq"
    counts_runs = False

    def __init__(
        self,
        *,
        lookupds: tuple[Address, ...] = (),
        nsqds: tuple[Address, ...] = (),
        options: NsqOptions | None = None,
        accept: Callable[[Node], bool] | None = None,
    ) -> None:
        if bool(lookupds) == bool(nsqds):
            raise ConfigurationError("the NSQ engine takes addresses of nsqlookupd or of nsqd, one of the two")
        self.options = options or NsqOptions()
        if not lookupds and 0 < len(self.options.publish or nsqds) < self.options.copies:
            raise ConfigurationError(f"copies={self.options.copies} needs as many nsqd to publish to")
        check_layers(self.options)
        self.clock: Clock = SystemClock()
        self.max_message_bytes = self.options.max_message_bytes
        self.max_delay = self.options.max_delay
        self.preferred: Mapping[str, Any] = self.options.model_dump(
            include={"max_in_flight", "max_in_flight_bytes", "message_timeout"}, exclude_none=True
        )
        self._nsqds = nsqds
        self._lookup = Lookup(lookupds, self.options, accept=accept) if lookupds else None
        self._known_nodes: Sequence[Node] = ()
        self.http = HttpClient(self.options)
        self._admin = Admin(self.nodes, self.http)
        self._declarations = Declarations(self.nodes, self._lookup, self.http, self.options)
        self._publisher = Publisher(
            self._publish_addresses,
            self.options,
            is_given=bool(self.options.publish or nsqds),
            on_change=self._declarations.forget,
        )
        self._quiet = QuietTimer()
        self._intake = Intake(self.options.max_in_flight_bytes or MAX_IN_FLIGHT_BYTES)
        self._subscriptions: list[NsqSubscription] = []
        self._timer: Any = None
        self._ticks = 0
        self._last_tick = 0.0
        self._stalls = 0
        self._checked_topics: set[str] = set()
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<NsqEngine {', '.join(map(str, self.lookupds or self._nsqds))}>"

    @property
    def lookupds(self) -> Sequence[Address]:
        """The nsqlookupd asked; none where nsqd are given directly."""
        return () if self._lookup is None else self._lookup.lookupds

    # -- where things are ---------------------------------------------------------------------------------------------

    def nodes(self) -> Sequence[Node]:
        """Return the nsqd of the cluster; the last known ones while no nsqlookupd answers."""
        if self._lookup is None:
            given = self.options.http
            return [
                Node(tcp, given[index] if index < len(given) else Address(tcp.host, tcp.port + 1))
                for index, tcp in enumerate(self._nsqds)
            ]
        found = self._lookup.nodes()
        if found.answered:
            self._known_nodes = found.nodes
        return self._known_nodes

    def _publish_addresses(self) -> Sequence[Address]:
        return self.options.publish or self._nsqds or [node.tcp for node in self.nodes()]

    # -- publishing ---------------------------------------------------------------------------------------------------

    def publish(self, topic: str, body: bytes, *, delay: float, timeout: float) -> None:
        self._check(topic, body)
        if not 0 <= delay <= self.max_delay:
            raise Rejected(f"delay of {delay!r} s to {topic!r}: nsqd holds 0 to {self.max_delay:g} s")
        self._publisher.publish(topic, body, delay=delay, timeout=timeout)

    def publish_many(self, topic: str, bodies: Sequence[bytes], *, timeout: float) -> None:
        for body in bodies:
            self._check(topic, body)
        self._publisher.publish_many(topic, bodies, timeout=timeout)

    def publish_foreign(self, topic: str, body: bytes, *, timeout: float) -> None:
        self._check(topic, body[: self.max_message_bytes])
        self._publisher.publish_alone(topic, body, timeout=timeout)

    def _check(self, topic: str, body: bytes) -> None:
        if self._is_closed:
            raise BusStateError(f"publish to {topic!r}: the NSQ engine is closed")
        if topic not in self._checked_topics:
            self._checked_topics.add(check_name(topic, kind="topic"))
            self._start_timer()
        if not 0 < len(body) <= self.max_message_bytes:
            raise Rejected(f"{len(body):,} bytes to {topic!r}: a message has 1 to {self.max_message_bytes:,} bytes")

    # -- consuming ----------------------------------------------------------------------------------------------------

    def subscribe(
        self, topic: str, channel: str, receiver: Receiver, *, max_in_flight: int, message_timeout: float, client: str = ""
    ) -> NsqSubscription:
        if self._is_closed:
            raise BusStateError(f"subscribe to {topic!r}: the NSQ engine is closed")
        check_name(topic, kind="topic")
        check_name(channel, kind="channel")
        self._start_timer()
        subscription = NsqSubscription(
            topic,
            channel,
            receiver,
            nsqds=self._nsqds,
            lookup=self._lookup,
            options=self.options,
            quiet_watch=self._quiet,
            intake=self._intake,
            max_in_flight=max_in_flight,
            message_timeout=message_timeout,
            client=client,
            on_closed=self._subscriptions.remove,
        )
        self._subscriptions.append(subscription)
        try:
            subscription.open(self.options.connect_timeout)
        except BaseException:
            subscription.close()
            raise
        if self._is_closed:
            subscription.close()
            raise BusStateError(f"subscribe to {topic!r}: the NSQ engine was closed meanwhile")
        return subscription

    def limit_bytes(self, count: int) -> None:
        self._intake.limit = count

    # -- operating ----------------------------------------------------------------------------------------------------

    def declare(self, topic: str, channels: Sequence[str] = (), *, anew: bool = False) -> Sequence[str]:
        if self._is_closed:
            raise BusStateError(f"declare {topic!r}: the NSQ engine is closed")
        check_name(topic, kind="topic")
        for channel in channels:
            check_name(channel, kind="channel")
        return self._declarations.declare(topic, channels, anew=anew)

    def late_for(self, topic: str) -> float:
        return self._declarations.late_for(topic)

    def ping(self, *, timeout: float) -> None:
        given = bool(self.options.publish or self._nsqds)
        reach(self._publish_addresses, self._lookup, self.options, is_given=given, timeout=timeout)

    def stats(self) -> dict[str, TopicStats]:
        return self._admin.stats()

    def pause(self, topic: str, channel: str | None = None) -> None:
        self._admin.pause(topic, channel)

    def resume(self, topic: str, channel: str | None = None) -> None:
        self._admin.resume(topic, channel)

    def empty(self, topic: str, channel: str | None = None) -> None:
        self._admin.empty(topic, channel)

    # -- upkeep -------------------------------------------------------------------------------------------------------

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = get_hub().loop.timer(_TICK, repeat=_TICK)
            self._timer.start(self._tick)

    def _tick(self) -> None:
        now = self._intake.awake = self.clock.monotonic()
        stalled, self._last_tick = now - self._last_tick > _STALL, now
        if stalled and self._stalls < _MAX_STALLS:
            self._stalls += 1
            return  # this process was busy: what came meanwhile is read before anybody's time is up
        self._stalls = 0
        self._ticks += 1
        try:
            self._publisher.expire(now)
            is_slow = self._ticks % _SLOW_TICKS == 0
            for subscription in list(self._subscriptions):
                subscription.tick(now, is_slow=is_slow)
            if is_slow:
                self._publisher.tick(now, _ANSWER_LIMIT)
        except Exception:  # the timer must go on
            log.exception("the NSQ engine's upkeep failed")
        if self._lookup is not None and not self.options.publish and self._publisher.is_started:
            every = max(1, round(self.options.lookup_interval / _TICK))
            if self._ticks % every == 0:
                self._publisher.look_again()

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._declarations.close()
        for subscription in list(self._subscriptions):
            subscription.close()
        self._publisher.close(timeout=2.0)
        self._quiet.stop()
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()

    def abandon(self) -> None:
        self._is_closed = True
        if self._timer is not None:
            self._timer.stop()
        self._quiet.stop()
        for subscription in self._subscriptions:
            subscription.abandon()
        self._publisher.abandon()
        self._declarations.close()


def open_nsq(url: str, *, clock: Clock | None = None) -> NsqEngine:
    """Return an engine for `nsq://` (nsqlookupd) or `nsq+direct://` (nsqd); `clock` is not used: nsqd has its own.

    Raises:
        ConfigurationError: names what is wrong with the URL or the environment.
    """
    parts = urlsplit(url)
    is_direct = parts.scheme == "nsq+direct"
    if parts.path not in ("", "/"):
        raise ConfigurationError("bus URL: what stands behind the addresses and '/' means nothing; options go behind '?'")
    if "@" in parts.netloc:
        raise ConfigurationError("bus URL: no user or password here; NSQ's secret goes into EVENTBUS_NSQ_AUTH_SECRET")
    addresses = parse_addresses(parts.netloc, default_port=4150 if is_direct else LOOKUP_PORT)
    if not addresses:
        raise ConfigurationError("bus URL: give addresses, such as nsq://127.0.0.1:4161 or nsq+direct://127.0.0.1:4150")
    options = read_options(url, NsqOptions)
    if is_direct:
        return NsqEngine(nsqds=addresses, options=options)
    return NsqEngine(lookupds=addresses, options=options)
