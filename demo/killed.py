"""A worker of fulfillment in a process of its own, which is killed with SIGKILL while it works."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import gevent

from demo.scenario import Scenario
from eventbus import EventBusError
from services.fulfillment.app import NAME
from services.fulfillment.events import OrderPlaced

_START = 120.0
"""Seconds that the process has to begin."""
_MESSAGE_TIMEOUT = "5"
"""Seconds after which what it held comes to the others. A demo that waits for a minute is no demo."""


class KilledWorker:
    """Works beside the scenario's own workers, until as many orders are placed.

    Raises:
        EventBusError: the process ended by itself, or did not begin in time.
    """

    def __init__(self, scenario: Scenario, url: str, folder: Path, *, after: int) -> None:
        self._scenario = scenario
        self._after = after
        before = self._workers()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "demo.slow_worker"],
            env={
                **os.environ,
                "EVENTBUS_URL": url,
                "EVENTBUS_MESSAGE_TIMEOUT": _MESSAGE_TIMEOUT,
                "FULFILLMENT_DATABASE_URL": f"sqlite:///{folder / NAME}.db",
                "FULFILLMENT_SQLITE_SYNCHRONOUS": "NORMAL",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _START
        while self._workers() <= before:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise EventBusError("the worker to be killed did not begin; see why with: python -m demo.slow_worker")
            gevent.sleep(0.1)

    def _workers(self) -> int:
        """Number of those who share its channel."""
        topic = self._scenario.bus.engine.stats().get(str(OrderPlaced.__event_info__.topic))
        return 0 if topic is None or NAME not in topic.channels else topic.channels[NAME].subscribers

    def placed(self, count: int) -> None:
        """Kill it once so many orders are placed."""
        if count >= self._after:
            self.kill()

    def kill(self) -> None:
        """Kill it now. Idempotent."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def was_killed(self) -> bool:
        """Whether it was at work until it was killed."""
        return self._process.returncode == -9
