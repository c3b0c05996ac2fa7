"""Errors of a simulation: what was searched for, and what keeps it from searching."""

from __future__ import annotations

from eventbus.errors import EventBusError


class SimulationFailedError(EventBusError, AssertionError):
    """A schedule was found in which the check fails; its text is the story.

    Attributes:
        schedule: the name to give to `only=`.
        faults: how many there are in it.
    """

    def __init__(self, story: str, schedule: str, faults: int) -> None:
        super().__init__(story)
        self.schedule = schedule
        self.faults = faults


class SimulationError(EventBusError):
    """The services, the check or the arguments cannot be simulated; says in one line what to do."""
