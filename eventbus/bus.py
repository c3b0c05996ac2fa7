"""Bus: publish events; start, drain and stop services. It joins typed events above to an engine of bytes below.

A bus belongs to the hub (the thread) that it is used in first. It never patches anything: the program decides whether the
standard library cooperates with gevent.
"""

from __future__ import annotations

import contextvars
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import gevent
import gevent.event
from gevent.hub import get_hub

from eventbus.codec import CODECS, Codec, dump
from eventbus.context import current_cause
from eventbus.dead_letters import RESERVE, DeadLetters
from eventbus.dispatch import Dispatcher
from eventbus.engines import open_engine
from eventbus.engines.base import Engine
from eventbus.envelope import Envelope
from eventbus.errors import BusStateError, ConfigurationError, EncodeError, MessageTooLargeError
from eventbus.event import Event, event_id, event_info, event_topic
from eventbus.identity import InstantWriter
from eventbus.middleware import Middleware, overrides
from eventbus.service import Service
from eventbus.settings import BusSettings
from eventbus.ticker import Ticker


@dataclass(frozen=True, slots=True)
class DrainReport:
    """What a stop found.

    Attributes:
        finished: deliveries whose handlers ended within the grace.
        returned: deliveries given back that no handler had begun.
        interrupted: deliveries given back whose handlers were interrupted.
        seconds: how long the stop took.
    """

    finished: int
    returned: int
    interrupted: int
    seconds: float


class Bus:
    """Publishes events and runs services over one engine.

    Args:
        url: which engine: `memory://` (the default, or EVENTBUS_URL) or another known scheme, with its options.
        engine: an engine of your own instead of a URL; the bus closes it.
        source: name of the publishing service, for what is published outside a handler.
        codec: how events are written, "msgpack" or "json"; both are always read.
        middleware: hooks around publish and handle, the first outermost.
        settings: everything else; from the EVENTBUS_* environment unless given.

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
    ) -> None:
        self.settings = settings or BusSettings.from_environment()
        if engine is not None and url is not None:
            raise ConfigurationError("Bus: give a url or an engine, not both")
        name = codec or self.settings.codec
        if name not in CODECS:
            raise ConfigurationError(f"Bus: unknown codec {name!r}; known are {', '.join(CODECS)}")
        self.engine: Engine = engine or open_engine(url or self.settings.url)
        self.source = source or self.settings.source or Path(sys.argv[0]).stem or "python"
        self.middleware = tuple(middleware)
        self.publish_timeout = self.settings.publish_timeout
        self.message_timeout = self.settings.message_timeout
        self.max_in_flight = self.settings.max_in_flight
        self.max_depth = self.settings.max_depth
        self.ticker = Ticker()
        self.dispatchers: list[Dispatcher] = []
        self._services: list[Service] = []
        self._codec: Codec = CODECS[name]()
        self._encode = self._codec.encode
        self._write = InstantWriter().write
        self._max_bytes = self.engine.max_message_bytes - RESERVE
        self._hub = get_hub()
        self._is_closed = False
        self._stopped = gevent.event.Event()
        wrappers = [each for each in self.middleware if overrides(each, "publish")]
        self._send: Callable[[str, Envelope], None] | None = self._wrap(wrappers) if wrappers else None

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"{len(self._services)} services"
        return f"<Bus {self.engine.scheme} {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- publishing -------------------------------------------------------------------------------------------------

    def publish(
        self,
        event: Event,
        *,
        delay: float | None = None,
        deliver_at: datetime | None = None,
        expires_in: float | None = None,
        subject: str | None = None,
        timeout: float | None = None,
    ) -> str:
        """Publish `event` to its topic and return its id once the engine has confirmed it.

        Inside a handler it carries on the correlation of the event being handled. Publishing the same object again
        sends the same id.

        Args:
            delay: seconds before which no subscriber gets it; any length.
            deliver_at: the same as an instant (aware).
            expires_in: seconds after which subscribers pass over it.
            subject: what the event is about, such as an order's id.
            timeout: longest time in seconds to wait for the confirmation.

        Raises:
            EncodeError, MessageTooLargeError: it cannot be sent at all.
            Rejected, NotSent, OutcomeUnknown: the engine did not confirm it; each says what to do.
            BusStateError: the bus is closed, or belongs to another thread.
        """
        self._check_open()
        topic = event_topic(type(event))
        envelope = self.make_envelope(event, subject=subject, expires_in=expires_in)
        wait = 0.0
        if delay is not None or deliver_at is not None:
            wait = self._defer(envelope, delay, deliver_at)
        limit = self.publish_timeout if timeout is None else timeout
        if self._send is not None:
            gevent_local_options = (wait, limit)
            self._publish_through(topic, envelope, gevent_local_options)
        else:
            self.engine.publish(topic, self._bytes(envelope), delay=wait, timeout=limit)
        return envelope.id

    def publish_all(self, events: Iterable[Event], *, timeout: float | None = None) -> list[str]:
        """Publish many events, batched by topic; return their ids once all are confirmed.

        All are encoded before the first is sent. On an error some may have been published: publish the same objects
        again.

        Raises:
            As `publish`.
        """
        self._check_open()
        limit = self.publish_timeout if timeout is None else timeout
        envelopes = [(event_topic(type(event)), self.make_envelope(event)) for event in events]
        if self._send is not None:
            for topic, envelope in envelopes:
                self._publish_through(topic, envelope, (0.0, limit))
        else:
            by_topic: dict[str, list[bytes]] = {}
            for topic, envelope in envelopes:
                by_topic.setdefault(topic, []).append(self._bytes(envelope))
            for topic, bodies in by_topic.items():
                self.engine.publish_many(topic, bodies, timeout=limit)
        return [envelope.id for _, envelope in envelopes]

    def make_envelope(self, event: Event, *, subject: str | None = None, expires_in: float | None = None) -> Envelope:
        """Return the envelope in which `event` travels from here and now; caused by the event being handled, if any."""
        info = event_info(type(event))
        now = self.engine.clock.time()
        envelope = Envelope(
            event_id(event), self.source, info.name, self._write(now), dump(event), version=info.version, subject=subject
        )
        cause = current_cause.get()
        if cause is not None:
            origin, service = cause
            envelope.source = service
            envelope.correlation_id = origin.correlation_id
            envelope.causation_id = origin.id
            envelope.depth = origin.depth + 1
            envelope.traceparent = origin.traceparent
        if expires_in is not None:
            if not 0 < expires_in < float("inf"):
                raise EncodeError(f"{info.name}: expires_in={expires_in!r}; give seconds above 0", event_name=info.name)
            envelope.expires_at = now + expires_in
        return envelope

    def _defer(self, envelope: Envelope, delay: float | None, deliver_at: datetime | None) -> float:
        """Set when the event is due; return the part of the delay in seconds that the engine can hold."""
        now = self.engine.clock.time()
        if delay is not None and deliver_at is not None:
            raise EncodeError(f"{envelope.type}: give delay or deliver_at, not both", event_name=envelope.type)
        if deliver_at is not None:
            if deliver_at.tzinfo is None:
                raise EncodeError(f"{envelope.type}: deliver_at has no time zone", event_name=envelope.type)
            wait = max(deliver_at.timestamp() - now, 0.0)
        else:
            wait = delay or 0.0
            if not 0 <= wait < float("inf"):
                raise EncodeError(f"{envelope.type}: delay={delay!r}; give seconds, 0 or more", event_name=envelope.type)
        if wait:
            # also for short delays: nsqd forgets its timers when it restarts and delivers at once
            envelope.deliver_at = now + wait
        return min(wait, self.engine.max_delay)

    def _bytes(self, envelope: Envelope) -> bytes:
        body = self._encode(envelope)
        if len(body) > self._max_bytes:
            raise MessageTooLargeError(event_name=envelope.type, size=len(body), limit=self._max_bytes)
        return body

    def _publish_through(self, topic: str, envelope: Envelope, options: tuple[float, float]) -> None:
        send = self._send
        assert send is not None
        token = _options.set(options)
        try:
            send(topic, envelope)
        finally:
            _options.reset(token)

    def _wrap(self, middleware: Sequence[Middleware]) -> Callable[[str, Envelope], None]:
        def send(topic: str, envelope: Envelope) -> None:
            delay, timeout = _options.get()
            self.engine.publish(topic, self._bytes(envelope), delay=delay, timeout=timeout)

        proceed: Callable[[str, Envelope], None] = send
        for each in reversed(middleware):
            proceed = _publish_layer(each, proceed)
        return proceed

    def _check_open(self) -> None:
        if self._is_closed:
            raise BusStateError("publish on a closed bus; make a new Bus")
        if get_hub() is not self._hub:
            raise BusStateError(
                "this bus belongs to another thread, whose gevent hub it uses; make a Bus in this thread or hand the event over"
            )

    # -- services ---------------------------------------------------------------------------------------------------

    def declare(self, *services: Service) -> None:
        """Make all topics and channels of `services` before the first publish, so that they miss nothing."""
        for service in services:
            for topic in service.topics:
                self.engine.declare(topic, [service.channel])

    def start(self, *services: Service) -> None:
        """Start services: declare and join their channels; handlers run in greenlets from now on.

        Context variables that are set now reach the handlers.

        Raises:
            BusStateError: when a service is started twice; use `service.replica()` for another worker.
            ConfigurationError: when a service has no handler.
        """
        self._check_open()
        for service in services:
            if any(service is running for running in self._services) or services.count(service) > 1:
                raise BusStateError(f"service {service.name!r} is started already; start service.replica() for another worker")
            if not service.bindings:
                raise ConfigurationError(f"service {service.name!r} has no handler; bind one with @service.on(...)")
        self.declare(*services)
        variables = contextvars.copy_context()
        variables.run(current_cause.set, None)
        started = [Dispatcher(self, service, topic, variables) for service in services for topic in service.topics]
        self._services.extend(services)
        self.dispatchers.extend(started)
        self.ticker.start(started)
        for dispatcher in started:
            dispatcher.subscribe()

    def stop(self, *, grace: float | None = None) -> DrainReport:
        """Stop: intake ends at once, running handlers get `grace` seconds, the rest goes back to the engine for others.

        Closes the engine and the bus. Idempotent; waits for a stop that is under way.
        """
        if self._is_closed:
            self._stopped.wait()
            return DrainReport(0, 0, 0, 0.0)
        began = time.monotonic()
        deadline = began + (self.settings.grace if grace is None else grace)
        dispatchers = self.dispatchers
        returned = interrupted = 0
        try:
            stops = [gevent.spawn(each.stop_intake, self.publish_timeout) for each in dispatchers]
            handled = sum(each.handled for each in dispatchers)
            gevent.joinall(stops)
            returned = sum(each.value or 0 for each in stops)
            while any(each.running for each in dispatchers) and time.monotonic() < deadline:
                gevent.sleep(0.005)
            for each in dispatchers:
                interrupted += each.interrupt()
            finished = sum(each.handled for each in dispatchers) - handled
        finally:
            self._is_closed = True
            for each in dispatchers:
                with suppress(Exception):
                    each.close()
            self.ticker.stop()
            self.engine.close()
            self._stopped.set()
        return DrainReport(finished, returned, interrupted, time.monotonic() - began)

    def run(self, *services: Service, grace: float | None = None) -> DrainReport:
        """Start services and block until SIGTERM or SIGINT, then drain; a second signal ends the process at once."""
        asked = gevent.event.Event()

        def on_signal() -> None:
            if asked.is_set():
                raise SystemExit(130)
            asked.set()

        watchers = [gevent.signal_handler(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)]
        try:
            self.start(*services)
            asked.wait()
            return self.stop(grace=grace)
        finally:
            for watcher in watchers:
                watcher.cancel()

    def dead_letters(self, topic: str | type[Event], channel: str | Service) -> DeadLetters:
        """Return the dead letters of a channel, to list, replay or discard."""
        return DeadLetters(
            self.engine,
            topic if isinstance(topic, str) else event_topic(topic),
            channel if isinstance(channel, str) else channel.channel,
            timeout=self.publish_timeout,
        )


_options: contextvars.ContextVar[tuple[float, float]] = contextvars.ContextVar("eventbus_publish_options")
"""Delay and timeout in seconds of the publish on its way through middleware."""


def _publish_layer(middleware: Middleware, proceed: Callable[[str, Envelope], None]) -> Callable[[str, Envelope], None]:
    def layer(topic: str, envelope: Envelope) -> Any:
        middleware.publish(topic, envelope, proceed)

    return layer
