"""Quiet watch: one timer that runs only while some connection is in a flood."""

from __future__ import annotations

import time
from typing import Any

from gevent.hub import get_hub

from eventbus.engines.nsq.deliveries import ConsumerConnection
from eventbus.engines.nsq.ready import SOON


class QuietTimer:
    """Looks each millisecond whether the floods of its connections are over; idle when there is none."""

    def __init__(self) -> None:
        self._flooded: set[ConsumerConnection] = set()
        self._timer: Any = None

    def add(self, connection: ConsumerConnection) -> None:
        """Watch a connection until it is quiet."""
        self._flooded.add(connection)
        if self._timer is None:
            self._timer = get_hub().loop.timer(SOON, repeat=SOON)
            self._timer.start(self._look)

    def _look(self) -> None:
        now = time.monotonic()
        for connection in [each for each in self._flooded if each.check_quiet(now)]:
            self._flooded.discard(connection)
        if not self._flooded:
            self.stop()

    def stop(self) -> None:
        """End the timer."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None
