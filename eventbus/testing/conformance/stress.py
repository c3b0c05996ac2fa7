"""Stress mode: the whole suite many times in parallel, in one process and on one broker."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable

import gevent
import gevent.pool
import pytest

from eventbus.testing.conformance import dead_letters, delivery, failures, flow
from eventbus.testing.conformance.worlds import World

ROUNDS = int(os.environ.get("STRESS_ROUNDS", "1"))
PARALLEL = int(os.environ.get("STRESS_PARALLEL", "40"))
TESTS: list[Callable[..., None]] = [
    function
    for module in (dead_letters, delivery, failures, flow)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if name.startswith("test_") and list(inspect.signature(function).parameters) == ["world"]
]


@pytest.mark.stress
def test_the_suite_passes_many_times_in_parallel(world: World) -> None:
    failures: list[str] = []

    def run(test: Callable[[World], None]) -> None:
        try:
            test(world)
        except (Exception, pytest.skip.Exception) as error:
            if not isinstance(error, pytest.skip.Exception):
                failures.append(f"{test.__name__}: {type(error).__name__}: {error}")

    pool = gevent.pool.Pool(PARALLEL)
    for _ in range(ROUNDS):
        for test in TESTS:
            pool.spawn(run, test)
    pool.join()
    assert not failures, "\n".join(failures)
    assert len(TESTS) > 30
