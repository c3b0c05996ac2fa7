"""Steering: what an envelope says of its own way is a claim of whoever wrote it: how far it is followed, what is said."""

from __future__ import annotations

import logging
from collections.abc import Callable

from eventbus.delivery.outcome_log import OutcomeLog
from eventbus.wire.envelope import Envelope
from eventbus.wire.limits import LONGEST_WAIT

_SLACK = 86400.0
"""Seconds by which the clocks of publisher and subscriber may differ."""
_SAY_AGAIN = 60.0


def waits_too_long(envelope: Envelope, now: float) -> str:
    """Return why an event that is not due is not waited for either; empty where it is."""
    wait = 0.0 if envelope.deliver_at is None else envelope.deliver_at - now
    if wait <= LONGEST_WAIT + _SLACK:
        return ""
    return f"due in {wait / 86400:.0f} days, and {LONGEST_WAIT / 86400:.0f} are waited for at most"


class Skips:
    """Tells of copies that are meant for other channels: usual after a loss or a deploy, and how a forger hides an event."""

    def __init__(self, log: OutcomeLog, monotonic: Callable[[], float]) -> None:
        self._log = log
        self._monotonic = monotonic
        self._count = 0
        self._next = float("-inf")

    def note(self, envelope: Envelope, attempts: int) -> None:
        """Write a line for the first, and then one a minute with their number."""
        self._count += 1
        now = self._monotonic()
        if now < self._next:
            return
        others = f", the last of {self._count} since it was said before" if self._count > 1 else ""
        told = f"meant for {envelope.replay_for} alone (replayfor){others}"
        self._log.write(logging.INFO, "skipped", envelope, attempts, told)
        self._count, self._next = 0, now + _SAY_AGAIN
