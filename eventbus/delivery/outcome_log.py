"""Outcome log: one line for each outcome of a delivery that matters, with fields for machines and no data of the event.

Lines go to the standard library's logger `eventbus.outcome`; `eventbus.observe.logs` writes the fields as JSON. What a
handler raised is told by its type and by where it was raised, frame by frame in `stack` where that is wanted: neither holds
data. Its text may quote anything, so it is told only where EVENTBUS_LOG_ERRORS=full asks for it; the dead letter keeps it.
"""

from __future__ import annotations

import logging

from eventbus.delivery.host import Host
from eventbus.runtime.guarded_log import guarded_log
from eventbus.runtime.redaction import one_line, text_of
from eventbus.runtime.tracebacks import innermost_frame, stack_of
from eventbus.wire.envelope import Envelope

log = guarded_log("eventbus.outcome")

FIELDS = (
    "service",
    "topic",
    "channel",
    "event_type",
    "event_id",
    "correlation_id",
    "attempt",
    "outcome",
    "error_type",
    "stack",
)
"""Attributes that a record of this log carries beside its text."""


class OutcomeLog:
    """Writes the lines of one topic and channel."""

    def __init__(self, service: str, topic: str, channel: str, host: Host) -> None:
        self._service = service
        self._topic = topic
        self._channel = channel
        self._tracebacks, self._in_full = host.tracebacks, host.errors_in_full

    @property
    def is_verbose(self) -> bool:
        """Whether lines at debug level are wanted."""
        return log.isEnabledFor(logging.DEBUG)

    def tell(self, error: BaseException) -> str:
        """Return what the log says of an error: type and place, and its text where that is wanted."""
        told = type(error).__name__
        if self._in_full:
            told = one_line(f"{told}: {text_of(error)}")
        place = innermost_frame(error)
        return told if place is None else f"{told} ({one_line(place, most=200)})"

    def write(
        self,
        level: int,
        outcome: str,
        envelope: Envelope | None,
        attempt: int,
        more: str = "",
        error: BaseException | None = None,
    ) -> None:
        """Write one line.

        Args:
            outcome: what became of the delivery, in a word.
            more: the rest of the line. The reason of a dead letter may quote the event behind its first words.
            error: told by its type, and by its text where that is wanted.
        """
        if not log.isEnabledFor(level):
            return
        what = "bytes" if envelope is None else one_line(f"{envelope.type} {envelope.id}", most=200)
        told = one_line(more if self._in_full else _without_quotes(more))
        if error is not None:
            raised = self.tell(error)
            told = f"{told}: {raised}" if told else raised
        fields = {
            "service": self._service,
            "topic": self._topic,
            "channel": self._channel,
            "event_type": None if envelope is None else envelope.type,
            "event_id": None if envelope is None else envelope.id,
            "correlation_id": None if envelope is None else envelope.correlation_id,
            "attempt": attempt,
            "outcome": outcome,
            "error_type": None if error is None else type(error).__name__,
            # lines that are alike but for the event are counted together where they repeat
            "alike": (self._topic, self._channel, outcome, type(error).__name__),
        }
        stack = stack_of(error) if error is not None and (self._tracebacks or self.is_verbose) else None
        if stack is not None:
            fields["stack"] = stack
        values = (outcome, what, self._topic, self._channel, attempt, f": {told}" if told else "")
        text = "%s: %s on %s/%s, attempt %d%s"
        record = log.logger.makeRecord(log.name, level, __file__, 0, text, values, None, extra=fields)
        record.stack_info = stack  # the standard library's own formatter writes it below the line
        log.handle(record)


def _without_quotes(reason: str) -> str:
    """Return the part of a reason that is ours: what follows was written by a handler or by a class's own validator."""
    if reason.startswith("rejected: "):
        return "rejected"
    if reason.startswith("invalid: field "):
        return reason.split(":", 2)[0] + ":" + reason.split(":", 2)[1]
    return reason
