"""Envelopes: an event becomes the envelope in which it travels, with its cause, its due time and its bytes. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from urllib.parse import quote

from eventbus.context import current_cause
from eventbus.errors import ConfigurationError, DecodeError, EncodeError, MessageTooLargeError
from eventbus.event import Event, event_id, event_info
from eventbus.publishing.templates import Template
from eventbus.runtime.clock import Clock
from eventbus.runtime.randomness import Randomness
from eventbus.wire.codec import SMALL, Codec, MsgpackCodec, check_counts, dump
from eventbus.wire.envelope import MAX_ID_LENGTH, PERSONAL, Envelope, read_text
from eventbus.wire.identity import InstantWriter, new_id
from eventbus.wire.limits import LONGEST_WAIT
from eventbus.wire.personal import personal_fields

_MOST_TEMPLATES = 1000


class EnvelopeFactory:
    """Makes the envelopes of one publisher.

    Args:
        source: name of the publishing service, for what is published outside a handler.
        max_bytes: longest encoded event in bytes.
        check: told of each event's class; raises where it must not be published.
    """

    def __init__(
        self,
        codec: Codec,
        source: str,
        *,
        clock: Clock,
        randomness: Randomness,
        max_bytes: int,
        check: Callable[[type[Event]], None] | None = None,
    ) -> None:
        self.source = _uri_reference(source)
        self._encode = codec.encode
        self._max_bytes = max_bytes
        self._check = check
        self._time = clock.time
        self._randomness = randomness
        self._write = InstantWriter().write
        self._has_templates = type(codec) is MsgpackCodec
        self._templates: dict[tuple[type[Event], str], Template] = {}

    def write(self, event: Event) -> tuple[str, str, bytes]:
        """Return id, source and bytes of `event` as it is published from here and now without more: what `make` and `encode`
        give, for less.

        Raises:
            EncodeError, MessageTooLargeError: it cannot be sent.
        """
        if not self._has_templates:
            return self._write_plainly(event)
        kind = type(event)
        if self._check is not None:
            self._check(kind)
        now = self._time()
        identifier = event_id(event, lambda: new_id(now, self._randomness))
        cause = current_cause.get()
        source = self.source if cause is None else cause[1]
        data = dump(event)
        template = self._templates.get((kind, source)) or self._make_template(kind, source)
        try:
            if cause is None:
                body = template.write(identifier, self._write(now), data)
            else:
                body = template.write_caused(identifier, self._write(now), data, cause[0])
        except Exception:  # the plain way says what is wrong
            return self._write_plainly(event)
        self._check_size(body, kind.__event_info__.name)
        return identifier, source, body

    def _write_plainly(self, event: Event) -> tuple[str, str, bytes]:
        envelope = self.make(event)
        return envelope.id, envelope.source, self.encode(envelope)

    def _make_template(self, kind: type[Event], source: str) -> Template:
        if len(self._templates) >= _MOST_TEMPLATES:  # classes that are made while the program runs
            self._templates.clear()
        template = self._templates[kind, source] = Template(kind, source)
        return template

    def make(self, event: Event, *, subject: str | None = None, expires_in: float | None = None) -> Envelope:
        """Return the envelope in which `event` travels from here and now; caused by the event being handled, if any."""
        if self._check is not None:
            self._check(type(event))
        info = event_info(type(event))
        now = self._time()
        identifier = event_id(event, lambda: new_id(now, self._randomness))
        envelope = Envelope(identifier, self.source, info.name, self._write(now), dump(event))
        if info.version != 1:
            envelope.version = info.version
        personal = personal_fields(type(event))
        if personal:
            envelope.extensions = {PERSONAL: personal}
        if subject is not None:
            envelope.subject = _readable("subject", subject, info.name)
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
        """Set when the event is due; return how long that is from now, in seconds.

        Raises:
            EncodeError: the two are given together, one is no time, or it is more than 400 days ahead.
        """
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
        if wait > LONGEST_WAIT:
            raise EncodeError(
                f"{name}: due in {wait / 86400:.0f} days, and an event waits {LONGEST_WAIT / 86400:.0f} days at most; keep "
                "it in a table of your own and publish it when its time comes",
                event_name=name,
            )
        if wait:
            # also for short delays: nsqd forgets its timers when it restarts, and delivers at once
            envelope.deliver_at = now + wait
        return wait

    def encode(self, envelope: Envelope) -> bytes:
        """Return the bytes of an envelope.

        Raises:
            EncodeError, MessageTooLargeError: it cannot be sent.
        """
        body = self._encode(envelope)
        self._check_size(body, envelope.type)
        return body

    def _check_size(self, body: bytes, name: str) -> None:
        if len(body) > self._max_bytes:
            raise MessageTooLargeError(event_name=name, size=len(body), limit=self._max_bytes)
        if len(body) > SMALL:
            check_counts(body, name)


def _uri_reference(source: str) -> str:
    """Return a source as CloudEvents wants it: a URI reference; other characters are percent-encoded.

    Raises:
        ConfigurationError: no reader would take it.
    """
    encoded = quote(source, safe="/:?#[]@!$&'()*+,;=%")
    if not encoded or len(encoded) > MAX_ID_LENGTH:
        raise ConfigurationError(f"source={source[:80]!r}: give 1 to {MAX_ID_LENGTH} characters")
    return encoded


def _readable(attribute: str, value: str, event_name: str) -> str:
    try:
        text = read_text(attribute, value)
    except DecodeError as error:
        raise EncodeError(f"{event_name}: no reader takes it: {error.reason}", event_name=event_name) from None
    return text or ""
