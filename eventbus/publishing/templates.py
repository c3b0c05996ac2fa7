"""Templates: what all events of one class from one source have in common is packed once, and not for each event.

The bytes are those that the envelope would have (`wire/envelope.py`, in the order of `attributes`).
"""

from __future__ import annotations

from typing import Any

from eventbus.event import Event, event_info
from eventbus.wire.codec import MSGPACK
from eventbus.wire.envelope import PERSONAL, SPEC_VERSION, Envelope
from eventbus.wire.packing import pack
from eventbus.wire.personal import personal_fields

# a map of up to 15 entries: https://github.com/msgpack/msgpack/blob/master/spec.md
_FIXMAP = 0x80
_ALWAYS = 9
"""Attributes that each envelope has."""
_CAUSE, _TRACE, _DEPTH, _PERSONAL, _DATA = map(pack, ("causationid", "traceparent", "depth", PERSONAL, "data"))


class Template:
    """The constant bytes of one class's envelopes from one source."""

    __slots__ = ("_after_id", "_after_time", "_before_data", "_before_id", "_before_id_uncaused", "_count")

    def __init__(self, kind: type[Event], source: str) -> None:
        info = event_info(kind)
        personal = personal_fields(kind)
        self._count = _ALWAYS + bool(personal)
        self._before_data = _PERSONAL + pack(personal) + _DATA if personal else _DATA
        self._before_id = pack("specversion") + pack(SPEC_VERSION) + pack("id")
        self._before_id_uncaused = bytes([_FIXMAP + self._count]) + self._before_id
        self._after_id = pack("source") + pack(source) + pack("type") + pack(info.name) + pack("time")
        content = pack("datacontenttype") + pack(MSGPACK) + pack("dataversion") + pack(info.version)
        self._after_time = content + pack("correlationid")

    def write(self, identifier: str, time: str, data: Any) -> bytes:
        """Return the bytes of an event that begins a chain."""
        key = pack(identifier)
        return b"".join(
            (self._before_id_uncaused, key, self._after_id, pack(time), self._after_time, key, self._before_data, pack(data))
        )

    def write_caused(self, identifier: str, time: str, data: Any, origin: Envelope) -> bytes:
        """Return the bytes of an event that was published while `origin` was handled."""
        # its cause and its depth, which is 1 or more
        more = _CAUSE + pack(origin.id)
        count = self._count + 2
        if origin.traceparent is not None:
            more += _TRACE + pack(origin.traceparent)
            count += 1
        return b"".join(
            (
                bytes((_FIXMAP + count,)),
                self._before_id,
                pack(identifier),
                self._after_id,
                pack(time),
                self._after_time,
                pack(origin.correlation_id),
                more,
                _DEPTH,
                pack(origin.depth + 1),
                self._before_data,
                pack(data),
            )
        )
