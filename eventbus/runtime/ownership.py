"""Ownership: a thing of greenlets belongs to the process and to the hub (the thread) that made it."""

from __future__ import annotations

from gevent.hub import get_hub

from eventbus.errors import BusStateError
from eventbus.runtime.forks import of_another_process


class Ownership:
    """Knows where its owner was made."""

    def __init__(self) -> None:
        self._hub = get_hub()
        self.is_abandoned = False
        """Whether this process is a fork of the one that made it."""

    def check(self) -> None:
        """Return if this is the place.

        Raises:
            BusStateError: it is another process or another thread; says what to do.
        """
        if self.is_abandoned:
            raise of_another_process("this bus", "Bus")
        if get_hub() is not self._hub:
            raise BusStateError(
                "this bus belongs to the gevent hub of another thread; publish from threads and from asyncio with an "
                "eventbus.Publisher, or make a Bus in this thread"
            )
