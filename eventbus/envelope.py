"""Envelope: CloudEvents 1.0 attributes around an event's data.

Names on the wire are CloudEvents' (https://github.com/cloudevents/spec, version 1.0); `docs/wire-format.md` lists them. The
data are JSON types already: an envelope knows nothing of event classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn

from eventbus.errors import DecodeError
from eventbus.identity import InstantWriter, parse_instant

SPEC_VERSION = "1.0"
MAX_ATTRIBUTE_LENGTH = 1024
"""Longest text attribute in characters; an id or a type longer than this is an attack or an accident."""

_KNOWN = frozenset(
    {
        *("specversion", "id", "source", "type", "time", "datacontenttype", "dataversion", "correlationid", "causationid"),
        *("traceparent", "subject", "expirytime", "deliverat", "depth", "replayfor", "priorattempts", "data"),
    }
)
_write = InstantWriter().write


class Envelope:
    """One event on its way. Treated as frozen once made; slots, because one is made for each message.

    Attributes:
        id, source, type: CloudEvents' identity: UUIDv7 text, the publishing service, the event's name.
        time: RFC 3339 text, when the event was published.
        version: version of `data`, 1 or more.
        correlation_id: id of the first event of the chain; its own id for a first one.
        causation_id: id of the event whose handling published this one, or None.
        expires_at, deliver_at: seconds since 1970, or None.
        depth: how many events stand between this one and the first of its chain.
        replay_for: the one channel that a replay is meant for, or None.
        prior_attempts: deliveries that a copy for one channel takes over from the message it replaces.
        extensions: attributes that this version does not know, kept as they came.
    """

    __slots__ = (
        "causation_id",
        "correlation_id",
        "data",
        "deliver_at",
        "depth",
        "expires_at",
        "extensions",
        "id",
        "prior_attempts",
        "replay_for",
        "source",
        "subject",
        "time",
        "traceparent",
        "type",
        "version",
    )

    def __init__(
        self,
        id: str,
        source: str,
        type: str,
        time: str,
        data: Any,
        *,
        version: int = 1,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        traceparent: str | None = None,
        subject: str | None = None,
        expires_at: float | None = None,
        deliver_at: float | None = None,
        depth: int = 0,
        replay_for: str | None = None,
        extensions: dict[str, Any] | None = None,
    ) -> None:
        self.id = id
        self.source = source
        self.type = type
        self.time = time
        self.data = data
        self.version = version
        self.correlation_id = id if correlation_id is None else correlation_id
        self.causation_id = causation_id
        self.traceparent = traceparent
        self.subject = subject
        self.expires_at = expires_at
        self.deliver_at = deliver_at
        self.depth = depth
        self.replay_for = replay_for
        self.prior_attempts = 0
        self.extensions = extensions

    def __repr__(self) -> str:
        return f"<Envelope {self.type} v{self.version} id={self.id} source={self.source}>"

    @property
    def occurred_at(self) -> datetime:
        """When the event was published, as an aware datetime."""
        return datetime.fromisoformat(self.time)

    def attributes(self, content_type: str) -> dict[str, Any]:
        """Return the mapping that goes on the wire; optional attributes only where they say something."""
        wire: dict[str, Any] = {
            "specversion": SPEC_VERSION,
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "time": self.time,
            "datacontenttype": content_type,
            "dataversion": self.version,
            "correlationid": self.correlation_id,
        }
        if self.causation_id is not None:
            wire["causationid"] = self.causation_id
        if self.traceparent is not None:
            wire["traceparent"] = self.traceparent
        if self.subject is not None:
            wire["subject"] = self.subject
        if self.expires_at is not None:
            wire["expirytime"] = _write(self.expires_at)
        if self.deliver_at is not None:
            wire["deliverat"] = _write(self.deliver_at)
        if self.depth:
            wire["depth"] = self.depth
        if self.replay_for is not None:
            wire["replayfor"] = self.replay_for
            if self.prior_attempts:
                wire["priorattempts"] = self.prior_attempts
        if self.extensions is not None:
            wire.update(self.extensions)
        wire["data"] = self.data
        return wire


def read_attributes(wire: Mapping[str, Any]) -> Envelope:
    """Return the envelope that a decoded mapping describes.

    Raises:
        DecodeError: names the attribute that is missing or wrong.
    """
    get = wire.get
    identifier, source, kind, time = get("id"), get("source"), get("type"), get("time", "")
    correlation, causation = get("correlationid"), get("causationid")
    if not (
        type(identifier) is str
        and type(source) is str
        and type(kind) is str
        and type(time) is str
        and identifier
        and source
        and kind
        and get("specversion") == SPEC_VERSION
        and (correlation is None or type(correlation) is str)
        and (causation is None or type(causation) is str)
    ):
        _refuse(wire)
    envelope = Envelope(identifier, source, kind, time, get("data"), correlation_id=correlation, causation_id=causation)
    version = get("dataversion")
    is_plain = (
        len(wire) == (9 if causation is None else 10)
        and version is not None
        and correlation is not None
        and time
        and "datacontenttype" in wire
        and "data" in wire
        and len(identifier) + len(source) + len(kind) <= MAX_ATTRIBUTE_LENGTH
        and (identifier + source + kind + time + correlation).isprintable()
    )
    if version is not None:
        if type(version) is not int or version < 1:
            raise DecodeError("attribute dataversion is no whole number of 1 or more")
        envelope.version = version
    if not is_plain:  # something beyond the nine attributes that are always there, or missing, or odd
        _read_optional(envelope, wire)
    return envelope


def _read_optional(envelope: Envelope, wire: Mapping[str, Any]) -> None:
    for name in ("id", "source", "type", "time", "correlationid", "causationid"):
        _text(wire, name)
    envelope.traceparent = _text(wire, "traceparent")
    envelope.subject = _text(wire, "subject")
    envelope.replay_for = _text(wire, "replayfor")
    expires, deliver = _text(wire, "expirytime"), _text(wire, "deliverat")
    if expires is not None:
        envelope.expires_at = parse_instant(expires, attribute="expirytime")
    if deliver is not None:
        envelope.deliver_at = parse_instant(deliver, attribute="deliverat")
    envelope.depth = _count(wire, "depth")
    envelope.prior_attempts = _count(wire, "priorattempts")
    if len(unknown := wire.keys() - _KNOWN):
        envelope.extensions = {name: wire[name] for name in sorted(unknown)}


def _text(wire: Mapping[str, Any], name: str) -> str | None:
    value = wire.get(name)
    if value is None:
        return None
    if type(value) is not str:
        raise DecodeError(f"attribute {name} is no text")
    if len(value) > MAX_ATTRIBUTE_LENGTH:
        raise DecodeError(f"attribute {name} is longer than {MAX_ATTRIBUTE_LENGTH} characters")
    if not value.isprintable():
        raise DecodeError(f"attribute {name} has characters that cannot be printed")
    return value


def _count(wire: Mapping[str, Any], name: str) -> int:
    value = wire.get(name, 0)
    if type(value) is not int or value < 0:
        raise DecodeError(f"attribute {name} is no whole number of 0 or more")
    return value


def _refuse(wire: Mapping[str, Any]) -> NoReturn:
    if wire.get("specversion") != SPEC_VERSION:
        raise DecodeError(f"attribute specversion is not {SPEC_VERSION!r}: no CloudEvents 1.0 envelope")
    for name in ("id", "source", "type"):
        if not _text(wire, name):
            raise DecodeError(f"attribute {name} is missing or empty")
    for name in ("time", "correlationid", "causationid"):
        _text(wire, name)
    raise DecodeError("the envelope's attributes are not valid")
