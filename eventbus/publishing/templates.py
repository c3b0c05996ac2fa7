"""Templates: what all events of one class from one source have in common is packed once, and not for each event.

The bytes are those that the envelope would have (`wire/envelope.py`, in the order of `attributes`).
"""

from __future__ import annotations

from typing import Any

from eventbus.event import EventInfo
from eventbus.wire.codec import MSGPACK
from eventbus.wire.envelope import SPEC_VERSION, Envelope
from eventbus.wire.packing import pack

# a map of up to 15 entries: https://github.com/msgpack/msgpack/blob/master/spec.md
_FIXMAP = 0x80
_ALWAYS = 9
"""Attributes that each envelope has."""
_CAUSE, _TRACE, _DEPTH, _DATA = map(pack, ("causationid", "traceparent", "depth", "data"))


class Template:
    """The constant bytes of one class's envelopes from one source."""

    __slots__ = ("_after_id", "_after_time", "_before_id", "_before_id_uncaused")

    def __init__(self, info: EventInfo, source: str) -> None:
        self._before_id = pack("specversion") + pack(SPEC_VERSION) + pack("id")
        self._before_id_uncaused = bytes([_FIXMAP + _ALWAYS]) + self._before_id
        self._after_id = pack("source") + pack(source) + pack("type") + pack(info.name) + pack("time")
        content = pack("datacontenttype") + pack(MSGPACK) + pack("dataversion") + pack(info.version)
        self._after_time = content + pack("correlationid")

    def write(self, identifier: str, time: str, data: Any) -> bytes:
        """Return the bytes of an event that begins a chain."""
        key = pack(identifier)
        return b"".join(
            (self._before_id_uncaused, key, self._after_id, pack(time), self._after_time, key, _DATA, pack(data))
        )

    def write_caused(self, identifier: str, time: str, data: Any, origin: Envelope) -> bytes:
        """Return the bytes of an event that was published while `origin` was handled."""
        # its cause and its depth, which is 1 or more
        more = _CAUSE + pack(origin.id)
        count = _ALWAYS + 2
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
                _DATA,
                pack(data),
            )
        )
