"""Guarded log: a line that cannot be written ends nothing.

A handler or a filter of the log is somebody else's code: it may raise, and while it waits for a disk or a socket a
`gevent.Timeout` or a kill may reach it. Who writes a line here has a delivery to answer or a socket to serve.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Any


class GuardedLog(logging.LoggerAdapter[logging.Logger]):
    """A logger of the standard library whose lines never raise. A fault is told on stderr, as that library does."""

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:
        try:
            if self.logger.isEnabledFor(level):
                # 2: the line is its caller's, and not this one's
                self.logger.log(level, msg, *args, stacklevel=options.pop("stacklevel", 1) + 1, **options)
        except BaseException as fault:
            _tell(fault, self.logger.name)

    def handle(self, record: logging.LogRecord) -> None:
        """Write a record that is made already."""
        try:
            self.logger.handle(record)
        except BaseException as fault:
            _tell(fault, self.logger.name)


def guarded_log(name: str) -> GuardedLog:
    """Return the logger `name`, guarded."""
    return GuardedLog(logging.getLogger(name), {})


def _tell(fault: BaseException, name: str) -> None:
    from gevent import GreenletExit, getcurrent

    me: Any = getcurrent()
    if isinstance(fault, KeyboardInterrupt | SystemExit) and me.parent is None:
        raise fault  # the program is to end
    if logging.raiseExceptions:
        with suppress(BaseException):
            sys.stderr.write(f"a line of the log {name} could not be written: {type(fault).__name__}\n")
    if isinstance(fault, GreenletExit) and hasattr(me, "kill"):
        # it reaches its greenlet at the next wait: whoever kills one waits for its end
        me.kill(type(fault), block=False)
