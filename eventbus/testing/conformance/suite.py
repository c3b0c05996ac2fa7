"""All tests of the suite, to be imported into a test module that has the fixture `world`."""

from __future__ import annotations

from eventbus.testing.conformance import (
    attempts,
    bounds,
    dead_letters,
    delivery,
    failures,
    flow,
    past,
    processes,
    rules,
    stress,
)

_TESTS = {
    name: test
    for module in (delivery, flow, failures, attempts, dead_letters, bounds, rules, past, processes, stress)
    for name, test in vars(module).items()
    if name.startswith("test_")
}
globals().update(_TESTS)
__all__ = list(_TESTS)
