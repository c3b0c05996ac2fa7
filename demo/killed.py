"""A worker of fulfillment in a process of its own, which is killed with SIGKILL while it works."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gevent

from demo.scenario import Scenario
from eventbus import EventBusError
from eventbus.engines import ChannelStats
from eventbus.event import event_topic
from services.fulfillment.app import NAME
from services.fulfillment.events import OrderPlaced

_TOPIC = event_topic(OrderPlaced)
_START = 120.0
"""Seconds that the process has to begin."""
_PATIENCE = 60.0
"""Seconds that it has to take an order once there are enough."""
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
        self._is_paused = self._holds = False
        self._dying: gevent.Greenlet[[], None] | None = None
        before = self._workers()
        self._process: Any = subprocess.Popen(
            [sys.executable, "-m", "demo.slow_worker"],
            env={
                **os.environ,
                "EVENTBUS_URL": url,
                "EVENTBUS_MESSAGE_TIMEOUT": _MESSAGE_TIMEOUT,
                "FULFILLMENT_DATABASE_URL": f"sqlite:///{folder / NAME}.db",
                "FULFILLMENT_SQLITE_SYNCHRONOUS": "NORMAL",
            },
            stdout=subprocess.PIPE,
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
        return self._channel().subscribers

    def _channel(self) -> ChannelStats:
        return self._scenario.bus.engine.stats()[_TOPIC].channels[NAME]

    def placed(self, count: int) -> None:
        """Let orders wait before so many are placed, and then let it take some of them and die."""
        if self._dying is None and count >= self._after // 2 and not self._is_paused:
            self._is_paused = True
            self._scenario.bus.engine.pause(_TOPIC, NAME)
        if self._dying is None and count >= self._after:
            self._let_die()

    def _let_die(self) -> None:
        if self._is_paused:
            self._scenario.bus.engine.resume(_TOPIC, NAME)
        self._dying = gevent.spawn(self._die)

    def _die(self) -> None:
        self._holds = bool(self._process.stdout.readline())  # it has shipped an order, and not told the bus
        self.kill()

    def end(self) -> None:
        """Have it dead, whether it ever held something or not, and what it held at the others."""
        if self._dying is None:
            self._let_die()
        if self._dying is not None:
            self._dying.join(timeout=_PATIENCE)
        self.kill()
        deadline = time.monotonic() + _PATIENCE
        while self._holds and not self._channel().timed_out and time.monotonic() < deadline:
            gevent.sleep(0.2)

    def kill(self) -> None:
        """Kill it now. Idempotent."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def was_killed(self) -> bool:
        """Whether it was at work until it was killed."""
        return bool(self._process.returncode == -9)
