from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import pytest
import sqlalchemy as sa

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


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[Callable[..., str]]:
    """Returns the URL of a database that has certain tables, for copies."""
    with ExitStack() as stack:
        made: dict[tuple[int, ...], str] = {}

        def of(*tables: sa.MetaData) -> str:
            key = tuple(map(id, tables))
            if key not in made:
                made[key] = stack.enter_context(own_database(postgres_server))
                with Database(made[key]) as database:
                    database.create_tables(*tables)
            return made[key]

        yield of


@pytest.fixture
def new_database(new_url: Callable[[], str], request: pytest.FixtureRequest) -> Iterator[Callable[..., Database]]:
    """Makes databases, of both kinds in turn, and closes them when the test is over: empty ones, or with these tables."""
    made: list[Database] = []
    with ExitStack() as stack:

        def make(*tables: sa.MetaData, url: str | None = None) -> Database:
            is_copied = url is None and bool(tables) and "postgresql" in request.node.callspec.id
            if is_copied:  # a third of the work that it is to make them
                like = request.getfixturevalue("postgres_template")(*tables)
                url = stack.enter_context(own_database(request.getfixturevalue("postgres_server"), like=like))
            made.append(Database(url or new_url(), pool_size=4, lock_timeout=PATIENCE))
            if tables and not is_copied:
                made[-1].create_tables(*tables)
            return made[-1]

        yield make
        for each in made:
            each.close()


def pytest_collection_finish() -> None:
    """Let the collector leave alone what was loaded for all tests."""
    gc.collect()
    gc.freeze()
