"""The published suite on the engine of this folder: `pip install . 'eventbus[testing]'`, then `pytest`."""

from collections.abc import Iterator

import pytest

from eventbus.testing.conformance import Features, SharedWorld, World
from eventbus.testing.conformance.suite import *  # noqa: F403


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    """The engine, and what it cannot do; one with a broker takes an EngineWorld instead."""
    made = SharedWorld("tiny://", Features(outlives=False, ephemeral=False))
    yield made
    made.close()
