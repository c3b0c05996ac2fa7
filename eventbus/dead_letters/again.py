"""Again: an event for one channel alone, as if it had never been tried there."""

from __future__ import annotations

from eventbus.wire.codec import rewrite
from eventbus.wire.envelope import REPEATED, Envelope


def copy_for(channel: str, envelope: Envelope, original: bytes) -> bytes:
    """Return the bytes of a copy for one channel.

    Args:
        envelope: as it was read from `original`; changed.

    Raises:
        EncodeError: a value cannot be written.
    """
    envelope.replay_for = channel
    envelope.prior_attempts = 0
    envelope.deliver_at = None
    if envelope.extensions is not None and REPEATED in envelope.extensions:
        # an inbox passes over what an outbox sends again while it is a dead letter, and this is the opposite of that
        envelope.extensions = {name: value for name, value in envelope.extensions.items() if name != REPEATED}
    return rewrite(envelope, original)
