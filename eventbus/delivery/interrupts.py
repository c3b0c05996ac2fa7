"""Interrupts: what is thrown into a handler that must end, and what ends a worker."""

from __future__ import annotations

from gevent import GreenletExit


class Interrupt(BaseException):
    """Thrown into a handler that ran out of time; not an Exception, so that no handler swallows it by accident."""


class StopInterrupt(Interrupt):
    """Thrown into a handler that outlived the grace of a stop."""


class WorkerKilled(GreenletExit):
    """Raised once the delivery of a killed handler has its answer, so that whoever killed its greenlet sees it end."""
