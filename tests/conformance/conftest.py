from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventbus.testing.conformance import World
from tests.conformance.worlds import WORLDS


@pytest.fixture(scope="session", params=list(WORLDS))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each engine in turn."""
    made = WORLDS[request.param]()
    yield made
    made.close()
