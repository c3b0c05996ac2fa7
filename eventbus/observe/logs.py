"""Logs: for people on a terminal, as JSON for machines, by structlog around the standard library's logging.

What the library and its users log through `logging` passes here too. Every line is one line, whatever it quotes; a failure
that repeats is written a few times and then counted.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal, TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from eventbus.delivery.outcome_log import FIELDS
from eventbus.errors import ConfigurationError
from eventbus.runtime.redaction import one_line

LogFormat = Literal["auto", "console", "json"]
LEVELS = ("debug", "info", "warning", "error", "critical")

REPEATS = 5
"""Lines of one kind that are written in each interval; the others are counted."""
INTERVAL = 10.0
"""Seconds after which what was counted is told."""
_MOST_KINDS = 1000
_TOO_LONG = 20_000


def configure_logs(*, format: LogFormat = "auto", level: str = "info", stream: TextIO | None = None) -> None:
    """Send the logs of this process to `stream`, standard error unless given. Replaces handlers of the root logger.

    Args:
        format: "console" for people, "json" for one object a line, "auto" for whichever fits the stream.
        level: least that is written; "debug" also writes a line for each event handled.

    Raises:
        ConfigurationError: an unknown format or level.
    """
    out = stream or sys.stderr
    if level.lower() not in LEVELS:
        raise ConfigurationError(f"log level {level!r}: give one of {', '.join(LEVELS)}")
    if format not in ("auto", "console", "json"):
        raise ConfigurationError(f"log format {format!r}: give auto, console or json")
    is_console = format == "console" or (format == "auto" and out.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(allow=FIELDS),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _on_one_line,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *([_for_people, structlog.dev.ConsoleRenderer(colors=out.isatty())] if is_console else [_json()]),
        ],
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    handler.addFilter(RepeatFilter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _json() -> Processor:
    return structlog.processors.JSONRenderer(sort_keys=False)


def _on_one_line(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Write out control characters in every text; what was formatted of a traceback stays readable in one line."""
    event.pop("stack_info", None)  # the same as `stack`, for other formatters
    for key, value in event.items():
        if key == "stack" and isinstance(value, str):
            event[key] = "\n".join(one_line(line, most=_TOO_LONG) for line in value.split("\n"))
        elif isinstance(value, str):
            event[key] = one_line(value, most=_TOO_LONG)
        elif value is not None and not isinstance(value, int | float) and not key.startswith("_"):
            event[key] = one_line(repr(value), most=_TOO_LONG)
    return event


def _for_people(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Leave out what the text says already."""
    for key in ("service", "topic", "channel", "event_type", "event_id", "attempt", "outcome", "error_type"):
        event.pop(key, None)
    return {key: value for key, value in event.items() if value is not None}


class RepeatFilter(logging.Filter):
    """Lets the first lines of a kind through in each interval, and counts the rest in the first line of the next.

    Of a kind are warnings and errors with the same `alike` mark, or else with the same text before its values are put in.
    """

    def __init__(
        self, repeats: int = REPEATS, interval: float = INTERVAL, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._repeats = repeats
        self._interval = interval
        self._kinds: OrderedDict[object, list[float]] = OrderedDict()  # begin, written, left out
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        text = record.msg.get("event") if isinstance(record.msg, dict) else record.msg  # structlog's lines are dicts
        kind = (record.name, getattr(record, "alike", None) or str(text))
        now = self._monotonic()
        with self._lock:
            seen = self._kinds.setdefault(kind, [now, 0, 0])
            self._kinds.move_to_end(kind)
            if len(self._kinds) > _MOST_KINDS:
                self._kinds.popitem(last=False)
            left_out = 0
            if now - seen[0] >= self._interval:
                left_out, seen[:] = int(seen[2]), [now, 0, 0]
            if seen[1] >= self._repeats:
                seen[2] += 1
                return False
            seen[1] += 1
        if left_out:
            more = f" (and {left_out} more like this before)"
            if isinstance(record.msg, dict):
                record.msg = {**record.msg, "event": f"{text}{more}"}
            else:
                record.msg, record.args = f"{record.getMessage()}{more}", None
        return True
