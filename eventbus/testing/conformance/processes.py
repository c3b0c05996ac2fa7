"""What is left of a process that is killed: all that was confirmed to it, and all that it had not finished."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from eventbus.testing.conformance.kit import Seen, listener, numbered, publish_numbers, unique
from eventbus.testing.conformance.waiting import PATIENCE, eventually
from eventbus.testing.conformance.worlds import World


def _killed_after(act: Callable[[], Any]) -> None:
    """Fork a child that is killed once it did `act`."""
    child = os.fork()
    if child == 0:
        try:
            act()
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == -signal.SIGKILL, "it failed before it was killed; its standard error says why"


def test_what_was_confirmed_to_a_process_survives_its_death(world: World) -> None:
    if not world.features.outlives:
        pytest.skip("its broker dies with the process")
    kind, seen = numbered(), Seen()
    service = listener(kind, seen)
    with world.bus() as bus:
        bus.declare(service)
    _killed_after(lambda: publish_numbers(world.bus(), kind, range(20)))
    with world.bus() as bus:
        bus.start(service)
        eventually(lambda: sorted(seen.numbers) == list(range(20)))


def test_what_a_killed_process_held_comes_to_another_with_its_attempt_counted(world: World) -> None:
    if not world.features.outlives:
        pytest.skip("its broker dies with the process")
    kind, seen, name = numbered(), Seen(), unique("s")
    with world.bus() as bus:
        bus.declare(listener(kind, seen, name=name))
        publish_numbers(bus, kind, [1])

    def hold() -> None:
        held = Seen()
        child = world.bus(message_timeout=1.0)
        child.start(listener(kind, held, name=name, act=lambda event, context: gevent.sleep(PATIENCE)))
        eventually(lambda: len(held) == 1)

    _killed_after(hold)
    with world.bus() as bus:
        bus.start(listener(kind, seen, name=name))
        eventually(lambda: seen.numbers == [1])
        assert seen.attempts == [2]
