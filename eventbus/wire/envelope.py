"""Envelope: CloudEvents 1.0 attributes around an event's data.

Names on the wire are CloudEvents' (https://github.com/cloudevents/spec, version 1.0); `docs/wire-format.md` lists them. The
data are JSON types already: an envelope knows nothing of event classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Any

from eventbus.errors import DecodeError
from eventbus.wire.identity import InstantWriter, check_range, parse_instant, parse_time

if TYPE_CHECKING:
    from eventbus.wire.sealed import Seal

SPEC_VERSION = "1.0"
MAX_ATTRIBUTE_LENGTH = 1024
"""Longest text attribute in characters."""
MAX_ID_LENGTH = MAX_NAME_LENGTH = 255
"""Longest id, and longest name of a source or a type, in characters: whatever stores or carries one takes as much."""
MAX_COUNT = 2**31 - 1
"""Largest number in an attribute, as CloudEvents has it."""
MAX_EXTENSIONS = 64
"""Most attributes that are none of ours."""
_LONGEST = dict.fromkeys(("id", "correlationid", "causationid", "source", "type", "replayfor"), MAX_ID_LENGTH)
_EXTENSION = re.compile("[a-z0-9]{1,20}")
"""CloudEvents' rule for the names of attributes."""

RECEIPT_TO, PERSONAL = "receiptto", "personal"
"""The extensions that many messages carry: where an outbox waits for receipts, and the paths of the personal fields."""
REPEATED = "repeated"
"""Attribute of a copy that an outbox sent again because a receipt is missing."""

_KNOWN = frozenset(
    {
        *("specversion", "id", "source", "type", "time", "datacontenttype", "dataversion", "correlationid", "causationid"),
        *("traceparent", "subject", "expirytime", "deliverat", "depth", "replayfor", "priorattempts", "data"),
    }
)
_write = InstantWriter().write
# https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#type-system, String
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


class Envelope:
    """One event on its way. Treated as frozen once made.

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
        seal: the signed message that it came in, or None.
    """

    # defaults of the class, so that an envelope holds only what its message says
    version = 1
    causation_id: str | None = None
    traceparent: str | None = None
    subject: str | None = None
    expires_at: float | None = None
    deliver_at: float | None = None
    depth = 0
    replay_for: str | None = None
    prior_attempts = 0
    extensions: dict[str, Any] | None = None
    seal: Seal | None = None

    def __init__(
        self,
        id: str,
        source: str,
        type: str,
        time: str,
        data: Any,
        correlation_id: str | None = None,
        others: Mapping[str, Any] | None = None,
        causation_id: str | None = None,
        traceparent: str | None = None,
        subject: str | None = None,
        version: int | None = None,
        depth: int = 0,
        extensions: dict[str, Any] | None = None,
    ) -> None:
        self.id, self.source, self.type, self.time, self.data = id, source, type, time, data
        self.correlation_id = id if correlation_id is None else correlation_id
        if others is not None:
            self.__dict__.update(others)
        if causation_id is not None:
            self.causation_id = causation_id
        if traceparent is not None:
            self.traceparent = traceparent
        if subject is not None:
            self.subject = subject
        if version is not None:
            self.version = version
        if depth:
            self.depth = depth
        if extensions is not None:
            self.extensions = extensions

    def __repr__(self) -> str:
        return f"<Envelope {self.type} v{self.version} id={self.id} source={self.source}>"

    @property
    def occurred_at(self) -> datetime:
        """When the event was published, as an aware datetime; when it was read, where its writer gave no time."""
        return parse_time(self.time) or self._read_at

    @cached_property
    def _read_at(self) -> datetime:
        return datetime.now(UTC)

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


def _are_short(texts: str, *names: str) -> bool:
    return len(texts) <= MAX_ATTRIBUTE_LENGTH and sum(map(len, names)) <= MAX_ID_LENGTH


def read_plain_attributes(wire: Mapping[str, Any]) -> Envelope | None:
    """Return the envelope of a mapping with the nine attributes that are always there and what handlers and outboxes add
    (cause, depth, trace, subject, where receipts go, what is personal), else None.

    Most messages are so, and one look at the whole is three times as fast as `read_attributes`, which has the last word.
    """
    try:
        identifier, source, kind, correlation = wire["id"], wire["source"], wire["type"], wire["correlationid"]
        time, version, data = wire["time"], wire["dataversion"], wire["data"]
        # joining fails for what is no text, so that one look at the whole stands for all
        texts = identifier + source + kind + time + correlation
        seen = len(wire)
        if seen != 9:
            get = wire.get
            cause, trace, subject, depth = get("causationid"), get("traceparent"), get("subject"), get("depth", 0)
            personal, reply = get(PERSONAL), get(RECEIPT_TO)
            for text in (cause, trace, subject, personal, reply):
                if text is not None:
                    texts += text
                    seen -= 1
            if "depth" in wire:
                seen -= 1
        if not (
            seen == 9
            and "datacontenttype" in wire
            and wire["specversion"] == SPEC_VERSION
            and texts.isprintable()
            and (len(texts) <= MAX_ID_LENGTH or _are_short(texts, identifier, source, kind, correlation))
            and "1971" <= time < "9999"
            and identifier
            and source
            and kind
            and type(version) is int
            and 1 <= version <= MAX_COUNT
        ):
            return None
    except (KeyError, TypeError, AttributeError):
        return None
    if seen == len(wire):
        return Envelope(identifier, source, kind, time, data, correlation, version=version)
    if type(depth) is not int or not 0 <= depth <= MAX_COUNT or (cause is not None and len(cause) > MAX_ID_LENGTH):
        return None
    extensions = {name: text for name, text in ((PERSONAL, personal), (RECEIPT_TO, reply)) if text is not None}
    more = (cause, trace, subject, version, depth, extensions or None)
    return Envelope(identifier, source, kind, time, data, correlation, None, *more)


def read_attributes(wire: Mapping[str, Any]) -> Envelope:
    """Return the envelope that a decoded mapping describes.

    Raises:
        DecodeError: names the attribute that is missing or wrong.
    """
    if wire.get("specversion") != SPEC_VERSION:
        raise DecodeError(f"attribute specversion is not {SPEC_VERSION!r}: no CloudEvents 1.0 envelope")
    identifier, source, kind = _text(wire, "id"), _text(wire, "source"), _text(wire, "type")
    if not (identifier and source and kind):
        missing = next(name for name in ("id", "source", "type") if not wire.get(name))
        raise DecodeError(f"attribute {missing} is missing or empty")
    envelope = Envelope(identifier, source, kind, _text(wire, "time") or "", wire.get("data"), _text(wire, "correlationid"))
    version = _count(wire, "dataversion", 1)
    if version < 1:
        raise DecodeError("attribute dataversion is no whole number of 1 or more")
    envelope.version = version
    # one that is none stays as it came: what is read depends on the bytes alone
    moment = parse_time(envelope.time)
    if moment is not None:
        check_range(moment, attribute="time")
    envelope.causation_id = _text(wire, "causationid")
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
        envelope.extensions = _read_extensions(wire, unknown)
    return envelope


def _read_extensions(wire: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    if len(names) > MAX_EXTENSIONS:
        raise DecodeError(f"{len(names):,} attributes that are none of ours; the limit is {MAX_EXTENSIONS}")
    found: dict[str, Any] = {}
    for name in sorted(names):
        if _EXTENSION.fullmatch(name) is None:
            raise DecodeError("an attribute whose name is not 1 to 20 small letters and digits: no CloudEvents attribute")
        value = wire[name]
        kind = type(value)
        if kind is str:
            _text(wire, name)
        elif kind is int:
            if not -MAX_COUNT - 1 <= value <= MAX_COUNT:
                raise DecodeError(f"attribute {name} is no whole number of 32 bits")
        elif kind is bytes:
            if len(value) > MAX_ATTRIBUTE_LENGTH:
                raise DecodeError(f"attribute {name} is longer than {MAX_ATTRIBUTE_LENGTH} bytes")
        elif not (value is None or kind is bool or (kind is float and isfinite(value))):
            raise DecodeError(f"attribute {name} is no scalar value")
        found[name] = value
    return found


def _text(wire: Mapping[str, Any], name: str) -> str | None:
    value = wire.get(name)
    if type(value) is not str:
        if value is None:
            return None
        raise DecodeError(f"attribute {name} is no text")
    most = _LONGEST.get(name, MAX_ATTRIBUTE_LENGTH)
    if len(value) > most:
        raise DecodeError(f"attribute {name} is longer than {most} characters")
    if not value.isprintable() and _FORBIDDEN.search(value):
        raise DecodeError(f"attribute {name} has control characters, or others that CloudEvents forbids")
    return value


def read_text(name: str, value: object) -> str | None:
    """Return the value of a text attribute as any reader takes it.

    Raises:
        DecodeError: no reader takes it.
    """
    return _text({name: value}, name)


def _count(wire: Mapping[str, Any], name: str, default: int = 0) -> int:
    value = wire.get(name, default)
    if type(value) is str and len(value) <= 10 and value.isascii() and value.isdigit():
        value = int(value)  # bindings of CloudEvents that carry attributes as headers make text of integers
    if type(value) is not int or not 0 <= value <= MAX_COUNT:
        raise DecodeError(f"attribute {name} is no whole number from 0 to {MAX_COUNT}")
    return value
