"""Outcome log: one line for each outcome of a delivery that matters, with fields for machines and no data of the event.

Lines go to the standard library's logger `eventbus.outcome`; `eventbus.observe.logs` writes the fields as JSON. What a
handler raised is told with its text, without whatever stands in the event: the dead letter keeps it whole. Where it was
raised stands beside it, and frame by frame in `stack` where that is wanted: frames hold no data.
"""

from __future__ import annotations

import logging

from eventbus.runtime.guarded_log import guarded_log
from eventbus.runtime.redaction import one_line, text_of, without_data
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

    def __init__(self, service: str, topic: str, channel: str, *, tracebacks: bool = False) -> None:
        self._service = service
        self._topic = topic
        self._channel = channel
        self._tracebacks = tracebacks

    @property
    def is_verbose(self) -> bool:
        """Whether lines at debug level are wanted."""
        return log.isEnabledFor(logging.DEBUG)

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
            more: the rest of the line, which may quote the event.
            error: told by its type and text.
        """
        if not log.isEnabledFor(level):
            return
        what, told = "bytes", more
        if error is not None:
            raised = f"{type(error).__name__}: {text_of(error)}"
            told = f"{more}: {raised}" if more else raised
        if envelope is not None:
            what = one_line(f"{envelope.type} {envelope.id}", most=200)
            if level > logging.DEBUG:
                told = without_data(told, envelope.data)
        told = one_line(told)
        place = None if error is None else innermost_frame(error)
        if place is not None:
            told += f" ({one_line(place, most=200)})"
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
