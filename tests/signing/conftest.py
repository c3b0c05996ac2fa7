from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.nsqd import Nsqd


@pytest.fixture
def nsqd() -> Iterator[Nsqd]:
    """A real nsqd of this test alone."""
    made = Nsqd()
    yield made
    made.end()
