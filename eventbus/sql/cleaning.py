"""Cleaning: removes old rows in short steps, and goes on at once while there is more, so that it keeps up with any rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from sqlalchemy import Connection

from eventbus.sql.database import Database

STEP = 5000
"""Most rows of one transaction: locks are held for a moment only."""
_TURN = 1.0
"""Seconds of real time after which other work of the same round has its turn."""

Step = Callable[[Connection], int]
"""Removes up to STEP rows and returns how many."""


def clean(database: Database, steps: Sequence[Step]) -> bool:
    """Remove what is old; return whether there is more, for which the caller comes back at once."""
    deadline = monotonic() + _TURN
    more = list(steps)
    while more:
        more = [step for step in more if database.chore(step) >= STEP]
        if more and monotonic() > deadline:
            return True
    return False
