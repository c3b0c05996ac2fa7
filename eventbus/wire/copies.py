"""Copies: an event on another round of its way, for one channel, after some attempts, or at its time.

A copy of a plain message is the envelope written anew. A signed one keeps the origin's bytes and proof, and what steers the
copy stands beside them (`sealed.py`), for its maker to sign.
"""

from __future__ import annotations

from eventbus.errors import DecodeError
from eventbus.wire.envelope import REPEATED, SPEC_VERSION, Envelope, read_attributes
from eventbus.wire.identity import InstantWriter
from eventbus.wire.packing import pack
from eventbus.wire.sealed import Seal, Steer, read_steering, write_seal

_STEERING = frozenset({"replayfor", "priorattempts", "deliverat", REPEATED})
_write = InstantWriter().write


def steering_of(envelope: Envelope) -> bytes:
    """Return what an envelope says of its way, as it stands beside a signed message."""
    said: dict[str, object] = {}
    if envelope.replay_for is not None:
        said["replayfor"] = envelope.replay_for
        said["priorattempts"] = envelope.prior_attempts
    if envelope.deliver_at is not None:
        said["deliverat"] = _write(envelope.deliver_at)
    if REPEATED in (envelope.extensions or {}):
        said[REPEATED] = True
    return pack(said)


def seal_copy(seal: Seal, envelope: Envelope) -> bytes:
    """Return the bytes of a copy whose steering nobody has signed yet."""
    return write_seal(Seal(seal.key, seal.signature, Steer("", b"", steering_of(envelope)), seal.body))


def follow(envelope: Envelope, steer: Steer) -> None:
    """Let what stands beside an envelope replace what it says of its way itself.

    Raises:
        DecodeError: it is not readable.
    """
    said = read_steering(steer)
    if not said.keys() <= _STEERING:
        raise DecodeError("signed message: its steering has attributes that do not steer")
    claims = read_attributes({"specversion": SPEC_VERSION, "id": "-", "source": "-", "type": "-", **said})
    envelope.replay_for = claims.replay_for
    envelope.prior_attempts = claims.prior_attempts
    envelope.deliver_at = claims.deliver_at
    others = {name: value for name, value in (envelope.extensions or {}).items() if name != REPEATED}
    if claims.extensions and claims.extensions[REPEATED] is True:
        others[REPEATED] = True
    envelope.extensions = others or None
