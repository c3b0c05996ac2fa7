from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest

from eventbus.sql import Database
from tests.postgres import Cluster, own_database
from tests.waiting import PATIENCE

# how long an example takes says something of the machine alone
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("suite")

# What a test does not set itself may take long; programs that tests start inherit it. Where a limit is the subject, the test
# gives one.
PATIENT = {
    "EVENTBUS_PUBLISH_TIMEOUT": PATIENCE,
    "EVENTBUS_NSQ_CONNECT_TIMEOUT": 30.0,
    "EVENTBUS_NSQ_HEARTBEAT": 30.0,
}
for name, seconds in PATIENT.items():
    os.environ.setdefault(name, str(seconds))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a PostgreSQL server."""
    given = os.environ.get("DATABASE_URL", "")
    if given.startswith("postgres"):
        yield given
        return
    cluster = Cluster()
    yield cluster.url
    cluster.end()


sqlite_alone = pytest.mark.parametrize("new_url", ["sqlite"], indirect=True)
"""For tests of what is decided before a database has any part in it: on one kind they say as much as on both."""


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Makes URLs of empty databases, of both kinds in turn."""
    with ExitStack() as stack:
        made: list[str] = []

        def make() -> str:
            if request.param == "sqlite":
                made.append(f"sqlite:///{tmp_path}/{len(made)}.db")
            else:
                made.append(stack.enter_context(own_database(request.getfixturevalue("postgres_server"))))
            return made[-1]

        yield make


@pytest.fixture
def new_database(new_url: Callable[[], str]) -> Iterator[Callable[..., Database]]:
    """Makes empty databases, of both kinds in turn, and closes them when the test is over."""
    made: list[Database] = []

    def make(url: str | None = None) -> Database:
        made.append(Database(url or new_url(), pool_size=4, lock_timeout=PATIENCE))
        return made[-1]

    yield make
    for each in made:
        each.close()


def pytest_collection_finish() -> None:
    """Let the collector leave alone what was loaded for all tests."""
    gc.collect()
    gc.freeze()
