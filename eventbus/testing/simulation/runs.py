"""Runs: one call of a handler, as everything beside it finds it."""

from __future__ import annotations

import contextvars
from dataclasses import dataclass

from eventbus.delivery.interrupts import StopInterrupt
from eventbus.testing.simulation.process import Process
from eventbus.wire.envelope import Envelope


class Died(StopInterrupt):
    """Leaves a handler whose process has died: its delivery has been given back already, and is answered no more."""


@dataclass(slots=True)
class Run:
    """One run of a handler.

    Attributes:
        label, number: the handler, and which of its runs in this schedule.
        service: its name.
        publishes, commits: how many of these it has begun.
        is_through: whether the handler itself came to its end.
    """

    label: str
    number: int
    service: str
    process: Process
    envelope: Envelope
    publishes: int = 0
    commits: int = 0
    is_through: bool = False


current: contextvars.ContextVar[Run | None] = contextvars.ContextVar("simulated_run", default=None)
