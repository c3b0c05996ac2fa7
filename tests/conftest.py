from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from eventbus.sql import Database
from tests.postgres import Cluster, own_database


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
        made.append(Database(url or new_url(), pool_size=4))
        return made[-1]

    yield make
    for each in made:
        each.close()
