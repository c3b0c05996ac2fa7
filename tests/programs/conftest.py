from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.conftest import ends, lookupd, make_bus, nsqd
from tests.postgres import Cluster

__all__ = ["ends", "lookupd", "make_bus", "nsqd"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server that tests kill."""
    made = Cluster()
    yield made
    made.end()
