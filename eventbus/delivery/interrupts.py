"""Interrupts: what is thrown into a handler that must end."""

from __future__ import annotations


class Interrupt(BaseException):
    """Thrown into a handler that ran out of time; not an Exception, so that no handler swallows it by accident."""


class StopInterrupt(Interrupt):
    """Thrown into a handler that outlived the grace of a stop."""
