"""Bus: publish events; start, drain and stop services. It joins typed events above to an engine of bytes below.

A bus belongs to the hub (the thread) that it is used in first. It patches nothing: that is for the program to decide.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import gevent
import gevent.event

from eventbus.attachments import Attachment
from eventbus.context import check_outside_inbox
from eventbus.dead_letters import DeadLetters, MaxDead
from eventbus.delivery.dispatcher import Dispatcher
from eventbus.delivery.draining import DrainReport, abandon, drain, from_outside
from eventbus.delivery.quota import DeliveryQuota
from eventbus.delivery.signals import run_until_asked
from eventbus.delivery.starting import Starts, bind_inboxes, check_services, make_dispatchers
from eventbus.delivery.ticker import Ticker
from eventbus.engines import open_engine
from eventbus.engines.base import Engine
from eventbus.engines.joining import joined, joining
from eventbus.errors import BrokerUnreachableError, BusStateError, ConfigurationError
from eventbus.event import Event, event_topic
from eventbus.middleware import Middleware
from eventbus.publishing.envelopes import EnvelopeFactory
from eventbus.publishing.publisher import Publisher
from eventbus.runtime.forks import owned
from eventbus.runtime.ownership import Ownership
from eventbus.runtime.randomness import SYSTEM, Randomness
from eventbus.runtime.redaction import several
from eventbus.service import Service
from eventbus.settings import BusSettings
from eventbus.signing import signing
from eventbus.wire.codec import CODECS
from eventbus.wire.limits import RESERVE

if TYPE_CHECKING:
    from eventbus.contracts.enforce import Enforcer


class Bus:
    """Publishes events and runs services over one engine.

    Args:
        url: which engine: `memory://` (the default, or EVENTBUS_URL) or another known scheme, with its options.
        engine: an engine of your own instead of a URL; the bus closes it.
        source: name of the publishing service, for what is published outside a handler.
        codec: how events are written, "msgpack" or "json"; both are always read.
        middleware: hooks around publish and handle, the first outermost.
        settings: everything else; from the EVENTBUS_* environment unless given.
        randomness: source of ids and of the jitter of retries; the system's unless given.

    Raises:
        ConfigurationError: when URL or settings are wrong.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        engine: Engine | None = None,
        source: str | None = None,
        codec: str | None = None,
        middleware: Sequence[Middleware] = (),
        settings: BusSettings | None = None,
        randomness: Randomness = SYSTEM,
    ) -> None:
        self.settings = settings or BusSettings.from_environment()
        if engine is not None and url is not None:
            raise ConfigurationError("Bus: give a url or an engine, not both")
        name = codec or self.settings.codec
        if name not in CODECS:
            raise ConfigurationError(f"Bus: unknown codec {name!r}; known are {', '.join(CODECS)}")
        self.engine: Engine = signing(engine or open_engine(url or self.settings.url), self.settings)
        self.source = source or self.settings.source or Path(sys.argv[0]).stem or "python"
        self.middleware = tuple(middleware)
        preferred = self.engine.preferred
        self.message_timeout: float = preferred.get("message_timeout", self.settings.message_timeout)
        self.max_in_flight: int = preferred.get("max_in_flight", self.settings.max_in_flight)
        self.max_depth, self.publish_timeout = self.settings.max_depth, self.settings.publish_timeout
        self.tracebacks, self.errors_in_full = self.settings.tracebacks, self.settings.log_errors == "full"
        self.max_dead = MaxDead.of(self.settings)
        self.quota: DeliveryQuota | None = None
        self.randomness, self.ticker = randomness, Ticker()
        self.dispatchers: list[Dispatcher] = []
        self._services: list[Service] = []
        self.attachments: list[Attachment[Bus]] = []
        self._enforcer: Enforcer | None = None
        if self.settings.contracts != "off":
            from eventbus.contracts.enforce import Enforcer

            self._enforcer = Enforcer(self.settings.contracts_from, is_strict=self.settings.contracts == "enforce")
        self.check_event = None if self._enforcer is None else self._enforcer.check_event
        for each in self.middleware:
            each.bind(self)
        self._codec = CODECS[name]()
        self.publisher = self.make_publisher(self.source, self.middleware)
        self.engine.limit_bytes(preferred.get("max_in_flight_bytes", self.settings.max_in_flight_bytes))
        self._ownership, self._starts = Ownership(), Starts()
        owned(self)
        self.is_stopping = self._is_closed = False
        self._stopped = gevent.event.Event()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"{len(self._services)} services"
        return f"<Bus {self.engine.scheme} {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not (self._ownership.is_abandoned and kind):  # a forked child that leaves by an exception is told nothing besides
            self.stop()

    def publish(
        self,
        event: Event,
        *,
        delay: float | None = None,
        deliver_at: datetime | None = None,
        expires_in: float | None = None,
        subject: str | None = None,
        timeout: float | None = None,
        connection: Any = None,
    ) -> str:
        """Publish `event` to its topic and return its id once the engine has confirmed it.

        Inside a handler it carries on the correlation of the event being handled. Publishing the same object again
        sends the same id.

        Args:
            delay: seconds before which no subscriber gets it; 400 days at most.
            deliver_at: the same as an instant (aware).
            expires_in: seconds after which subscribers pass over it.
            subject: what the event is about, such as an order's id.
            timeout: longest time in seconds to wait for the confirmation.
            connection: of your own, to the database of a `sqlite://` or `postgresql://` bus: published if you commit.

        Raises:
            EncodeError, MessageTooLargeError: it cannot be sent at all.
            Rejected, NotSent, OutcomeUnknown: the engine did not confirm it; each says what to do.
            BusStateError: the bus is closed, or belongs to another thread.
        """
        if connection is not None:
            publish = partial(
                self.publish, event, delay=delay, deliver_at=deliver_at, expires_in=expires_in, subject=subject
            )
            return joining(self.engine, connection, publish)
        self._check_open()
        return self.publisher.publish(
            event,
            self.publish_timeout if timeout is None else timeout,
            delay=delay,
            deliver_at=deliver_at,
            expires_in=expires_in,
            subject=subject,
        )

    def publish_all(self, events: Iterable[Event], *, timeout: float | None = None) -> list[str]:
        """Publish many events, batched by topic; return their ids once all are confirmed.

        All are encoded before the first is sent. On an error some may be published: publish the same objects again.

        Raises: as `publish`.
        """
        self._check_open()
        return self.publisher.publish_all(events, self.publish_timeout if timeout is None else timeout)

    def make_publisher(self, source: str, middleware: Sequence[Middleware]) -> Publisher:
        """Return a publisher over this bus's engine, for who publishes under a name or through middleware of its own."""
        envelopes = EnvelopeFactory(
            self._codec,
            source,
            clock=self.engine.clock,
            randomness=self.randomness,
            max_bytes=self.engine.max_message_bytes - RESERVE,
            check=self.check_event,
        )
        return Publisher(self.engine, envelopes, middleware)

    def _check_open(self) -> None:
        if joined.get() is None:  # in a transaction of the caller's own nothing waits, and a thread may do it
            check_outside_inbox()
            self._ownership.check()
        if self._is_closed:
            raise BusStateError("publish on a closed bus; make a new Bus")

    def declare(self, *services: Service) -> None:
        """Make all topics and channels of `services` before the first publish, so that they miss nothing.

        Raises:
            BrokerUnreachableError: names the brokers that did not take them.
        """
        self._check_open()
        failed = self._starts.declare(self.engine, services, anew=True)
        if failed:
            raise BrokerUnreachableError(f"not declared on {several(failed)}; events published there may be missed")

    def start(self, *services: Service) -> None:
        """Declare and join the channels of services, all side by side; handlers run in greenlets from now on.

        Context variables that are set now reach the handlers.

        Raises:
            BusStateError: when a service is started twice; use `service.replica()` for another worker.
            ConfigurationError: when a service has neither a handler nor anything attached.
            ContractError: when a view does not fit its contract and contracts are enforced.
        """
        self._check_open()
        check_services(services, self._services)
        if self._enforcer is not None:
            self._enforcer.check_services(services)
        self._starts.declare(self.engine, services, anew=False)
        bind_inboxes(services)
        self.attach(*(part for service in services for part in service.attachments))
        started = make_dispatchers(self, services)
        self._services.extend(services)
        self.dispatchers.extend(started)
        self.ticker.start(started)
        self._starts.all([each.subscribe for each in started])

    def attach(self, *attachments: Attachment[Bus]) -> None:
        """Start an outbox, a server or the like, and stop it with this bus; one that is attached already is left alone."""
        self._check_open()
        for attachment in attachments:
            if not any(attachment is there for there in self.attachments):
                self.attachments.append(attachment)
                attachment.start(self)

    def take_at_most(self, count: int) -> DeliveryQuota:
        """Take no more than `count` deliveries; call it before `start`. Return what tells when they are taken."""
        self.quota = DeliveryQuota(count)
        self.max_in_flight = min(self.max_in_flight, count)  # what is taken only to be given back has one attempt less
        return self.quota

    @property
    def is_idle(self) -> bool:
        """Whether nothing goes on here before time passes or something arrives."""
        return all(each.is_idle() for each in self.dispatchers) and all(each.is_idle() for each in self.attachments)

    def stop(self, *, grace: float | None = None) -> DrainReport:
        """Stop: intake ends at once, running handlers get `grace` seconds, the rest goes back to the engine for others.

        Closes the engine and the bus, and ends a start that is under way. Idempotent; waits for a stop that is under way.
        In a handler it only begins the stop and returns at once: the handler has its grace as the others have.

        Raises:
            BusStateError: called in another thread, or in a forked child.
        """
        self._ownership.check()
        return from_outside(self.dispatchers, partial(self._stop, grace))

    def _stop(self, grace: float | None) -> DrainReport:
        if not self.is_stopping:
            gevent.sleep(0)  # what came before this call has its turn: a short program publishes and stops
        if self.is_stopping:
            self._stopped.wait()
            return DrainReport(0, 0, 0, 0.0)
        self.is_stopping = True
        self._starts.end()
        seconds = self.settings.grace if grace is None else grace
        try:
            return drain(self.dispatchers, self.attachments, grace=seconds, timeout=self.publish_timeout)
        finally:
            self._is_closed = True
            for each in self.dispatchers:
                with suppress(Exception):
                    each.close()
            self.ticker.stop()
            self.engine.close()
            self._stopped.set()

    def abandon(self) -> None:
        """In a forked child: let go of everything that is the parent's. Called by the fork itself."""
        self._ownership.is_abandoned = self.is_stopping = self._is_closed = True
        self._starts.end()
        self.ticker.stop()
        self.engine.abandon()
        abandon(self.dispatchers, self.attachments)

    def run(self, *services: Service, grace: float | None = None) -> DrainReport:
        """Start services, block until SIGTERM, SIGINT or a `stop`, and drain; a second signal ends the process at once."""
        return run_until_asked(partial(self.start, *services), partial(self.stop, grace=grace), self._stopped)

    def dead_letters(self, topic: str | type[Event], channel: str | Service) -> DeadLetters:
        """Return the dead letters of a channel, to list, replay or discard."""
        self._ownership.check()
        of_topic = topic if isinstance(topic, str) else event_topic(topic)
        of_channel = channel if isinstance(channel, str) else channel.channel
        return DeadLetters(self.engine, of_topic, of_channel, timeout=self.publish_timeout)
