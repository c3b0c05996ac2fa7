"""Publisher: hands envelopes to the engine, through middleware where there is some, and returns when they are confirmed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar, copy_context
from datetime import datetime
from time import monotonic

import gevent

from eventbus.engines.base import Engine
from eventbus.event import Event, event_topic
from eventbus.middleware import Middleware
from eventbus.publishing.envelopes import EnvelopeFactory
from eventbus.wire.codec import decode
from eventbus.wire.envelope import Envelope

Send = Callable[[str, Envelope], None]

_options: ContextVar[tuple[float, float]] = ContextVar("eventbus_publish_options")
"""Delay and timeout in seconds of the publish that is on its way through middleware."""


class Publisher:
    """Publishes what `envelopes` makes.

    Attributes:
        envelopes: makes the envelopes of this publisher.
    """

    def __init__(self, engine: Engine, envelopes: EnvelopeFactory, middleware: Sequence[Middleware] = ()) -> None:
        self.envelopes = envelopes
        self._engine = engine
        self._encode = envelopes.encode
        self._source = envelopes.source
        self._watchers = [each.sent for each in middleware if each.wants("sent")]
        self._enqueued = [each for each in middleware if each.wants("enqueue")]
        layers = [each for each in middleware if each.wants("publish")]
        self._through: Send | None = _wrap(layers, self._send_now) if layers else None

    def publish(
        self,
        event: Event,
        timeout: float,
        *,
        delay: float | None,
        deliver_at: datetime | None,
        expires_in: float | None,
        subject: str | None,
    ) -> str:
        """Publish `event` as `Bus.publish` says, and return its id once it is confirmed."""
        topic = event_topic(type(event))
        is_simple = delay is None and deliver_at is None and expires_in is None and subject is None
        if is_simple and self._through is None:
            identifier, source, body = self.envelopes.write(event)
            self._put(source, topic, body, 0.0, timeout)
            return identifier
        envelope = self.envelopes.make(event, subject=subject, expires_in=expires_in)
        wait = 0.0 if delay is None and deliver_at is None else self.envelopes.defer(envelope, delay, deliver_at)
        self.send(topic, envelope, wait, timeout)
        return envelope.id

    def publish_all(self, events: Iterable[Event], timeout: float) -> list[str]:
        """Publish many events, batched by topic, and return their ids; all are encoded before the first is sent."""
        if self._through is not None:
            envelopes = [(event_topic(type(event)), self.envelopes.make(event)) for event in events]
            self._send_through(envelopes, timeout)
            return [envelope.id for _, envelope in envelopes]
        identifiers: list[str] = []
        by_topic: dict[str, list[bytes]] = {}
        source = self._source
        for event in events:
            topic = event_topic(type(event))
            identifier, source, body = self.envelopes.write(event)
            identifiers.append(identifier)
            by_topic.setdefault(topic, []).append(body)
        for topic, bodies in by_topic.items():
            self._put_many(source, topic, bodies, timeout)
        return identifiers

    def send(self, topic: str, envelope: Envelope, delay: float, timeout: float) -> None:
        """Publish one envelope, through middleware where there is some, and return when it is confirmed.

        Args:
            delay: seconds before which no subscriber gets it; the engine holds what it can of them.
        """
        if delay:
            delay = min(delay, self._engine.max_delay)
            if delay < self._engine.late_for(topic):
                delay = 0.0  # its instant is in the envelope, and subscribers wait for it
        if self._through is None:
            self._put(envelope.source, topic, self._encode(envelope), delay, timeout)
            return
        token = _options.set((delay, timeout))
        try:
            self._through(topic, envelope)
        finally:
            _options.reset(token)

    def _send_through(self, envelopes: Sequence[tuple[str, Envelope]], timeout: float) -> None:
        for _, envelope in envelopes:
            self._encode(envelope)  # raises before the first is sent; middleware may still add a little
        self._send_together(envelopes, timeout)

    def enqueue(self, topic: str, envelope: Envelope) -> bytes:
        """Return the bytes to keep for a later `forward`, after middleware has had its look."""
        for middleware in self._enqueued:
            middleware.enqueue(topic, envelope)
        return self._encode(envelope)

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
        self._put(envelope.source, topic, self._encode(envelope), delay, timeout)

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
