"""Outgoing: an event on its way from a publisher to the engine: envelope, cause, due time, bytes, middleware."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar, copy_context
from datetime import datetime
from time import monotonic

import gevent

from eventbus.codec import Codec, decode, dump
from eventbus.context import current_cause
from eventbus.dead_letters import RESERVE
from eventbus.engines.base import Engine
from eventbus.envelope import Envelope
from eventbus.errors import EncodeError, MessageTooLargeError
from eventbus.event import Event, event_id, event_info
from eventbus.identity import InstantWriter
from eventbus.middleware import Middleware

Send = Callable[[str, Envelope], None]

_options: ContextVar[tuple[float, float]] = ContextVar("eventbus_publish_options")
"""Delay and timeout in seconds of the publish that is on its way through middleware."""


class Outgoing:
    """Makes envelopes and hands them to the engine."""

    def __init__(
        self,
        engine: Engine,
        codec: Codec,
        source: str,
        middleware: Sequence[Middleware],
        *,
        check: Callable[[type[Event]], None] | None = None,
    ) -> None:
        self._engine = engine
        self._encode = codec.encode
        self._source = source
        self._check = check
        self._write = InstantWriter().write
        self._time = engine.clock.time
        self._max_bytes = engine.max_message_bytes - RESERVE
        self._watchers = [each.sent for each in middleware if each.wants("sent")]
        self._enqueued = [each for each in middleware if each.wants("enqueue")]
        layers = [each for each in middleware if each.wants("publish")]
        self._through: Send | None = _wrap(layers, self._send_now) if layers else None

    def envelope(self, event: Event, *, subject: str | None = None, expires_in: float | None = None) -> Envelope:
        """Return the envelope in which `event` travels from here and now; caused by the event being handled, if any."""
        if self._check is not None:
            self._check(type(event))
        info = event_info(type(event))
        now = self._time()
        envelope = Envelope(event_id(event), self._source, info.name, self._write(now), dump(event))
        if info.version != 1:
            envelope.version = info.version
        if subject is not None:
            envelope.subject = subject
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

    def defer(self, envelope: Envelope, delay: float | None, deliver_at: datetime | None) -> float:
        """Set when the event is due; return the part of the delay in seconds that the engine can hold."""
        name = envelope.type
        now = self._time()
        if delay is not None and deliver_at is not None:
            raise EncodeError(f"{name}: give delay or deliver_at, not both", event_name=name)
        if deliver_at is not None:
            if deliver_at.tzinfo is None:
                raise EncodeError(f"{name}: deliver_at={deliver_at.isoformat()} has no time zone", event_name=name)
            wait = max(deliver_at.timestamp() - now, 0.0)
        else:
            wait = delay or 0.0
            if not 0 <= wait < float("inf"):
                raise EncodeError(f"{name}: delay={delay!r}; give seconds, 0 or more", event_name=name)
        if wait:
            # also for short delays: nsqd forgets its timers when it restarts, and delivers at once
            envelope.deliver_at = now + wait
        return min(wait, self._engine.max_delay)

    def encode(self, envelope: Envelope) -> bytes:
        """Return the bytes of an envelope.

        Raises:
            EncodeError, MessageTooLargeError: it cannot be sent.
        """
        body = self._encode(envelope)
        if len(body) > self._max_bytes:
            raise MessageTooLargeError(event_name=envelope.type, size=len(body), limit=self._max_bytes)
        return body

    def send(self, topic: str, envelope: Envelope, delay: float, timeout: float) -> None:
        """Publish one envelope, through middleware where there is some, and return when it is confirmed."""
        if self._through is None:
            self._put(envelope.source, topic, self.encode(envelope), delay, timeout)
            return
        token = _options.set((delay, timeout))
        try:
            self._through(topic, envelope)
        finally:
            _options.reset(token)

    def send_all(self, envelopes: Sequence[tuple[str, Envelope]], timeout: float) -> None:
        """Publish many envelopes, batched by topic; all are encoded before the first is sent."""
        if self._through is not None:
            for _, envelope in envelopes:
                self.encode(envelope)  # raises before the first is sent; middleware may still add a little
            self._send_together(envelopes, timeout)
            return
        by_topic: dict[str, list[bytes]] = {}
        for topic, envelope in envelopes:
            by_topic.setdefault(topic, []).append(self.encode(envelope))
        for topic, bodies in by_topic.items():
            self._put_many(envelopes[0][1].source, topic, bodies, timeout)

    def enqueue(self, topic: str, envelope: Envelope) -> bytes:
        """Return the bytes to keep for a later `forward`, after middleware has had its look."""
        for middleware in self._enqueued:
            middleware.enqueue(topic, envelope)
        return self.encode(envelope)

    def forward(self, topic: str, bodies: Sequence[bytes], timeout: float) -> None:
        """Publish what `enqueue` made, and return when all are confirmed; on an error some may have been taken.

        Raises:
            Rejected, NotSent, OutcomeUnknown: the first that went wrong.
        """
        if self._through is None:
            self._put_many(self._source, topic, bodies, timeout)
        else:
            self._send_together([(topic, decode(body)) for body in bodies], timeout)

    def _send_together(self, envelopes: Sequence[tuple[str, Envelope]], timeout: float) -> None:
        """Send each through middleware alone, yet all on their way together, for the engine to batch."""
        sends = [gevent.spawn(copy_context().run, self._try_send, topic, envelope, timeout) for topic, envelope in envelopes]
        gevent.joinall(sends)
        for send in sends:
            if send.value is not None:
                raise send.value

    def _try_send(self, topic: str, envelope: Envelope, timeout: float) -> Exception | None:
        try:
            self.send(topic, envelope, 0.0, timeout)
        except Exception as error:
            return error
        return None

    def _send_now(self, topic: str, envelope: Envelope) -> None:
        delay, timeout = _options.get()
        self._put(envelope.source, topic, self.encode(envelope), delay, timeout)

    # -- the engine, watched ----------------------------------------------------------------------------------------

    def _put(self, source: str, topic: str, body: bytes, delay: float, timeout: float) -> None:
        if not self._watchers:
            self._engine.publish(topic, body, delay=delay, timeout=timeout)
            return
        began = monotonic()
        try:
            self._engine.publish(topic, body, delay=delay, timeout=timeout)
        except Exception as error:
            self._tell(source, topic, 1, began, error)
            raise
        for sent in self._watchers:
            sent(source, topic, 1, monotonic() - began, None)

    def _put_many(self, source: str, topic: str, bodies: Sequence[bytes], timeout: float) -> None:
        began = monotonic()
        try:
            self._engine.publish_many(topic, bodies, timeout=timeout)
        except Exception as error:
            self._tell(source, topic, len(bodies), began, error)
            raise
        self._tell(source, topic, len(bodies), began, None)

    def _tell(self, source: str, topic: str, count: int, began: float, error: Exception | None) -> None:
        for sent in self._watchers:
            sent(source, topic, count, monotonic() - began, error)


def _wrap(layers: Sequence[Middleware], innermost: Send) -> Send:
    proceed = innermost
    for layer in reversed(layers):
        proceed = _layer(layer, proceed)
    return proceed


def _layer(middleware: Middleware, proceed: Send) -> Send:
    return lambda topic, envelope: middleware.publish(topic, envelope, proceed)
