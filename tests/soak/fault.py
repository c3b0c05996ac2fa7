"""What a fault of the soak is."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from tests.soak.world import World

Fault: TypeAlias = Callable[[World, float], bool]
"""Breaks something for so many seconds, mends it, and returns whether it took effect."""


def signal_process(pid: int, number: int) -> None:
    """Signal a process that may have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
