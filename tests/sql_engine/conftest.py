from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from tests.postgres import Cluster


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A place for a bus that nobody has made yet."""
    return tmp_path / "bus.db"


@pytest.fixture
def url(file: Path) -> str:
    return f"sqlite:///{file}"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server that the tests may restart."""
    made = Cluster(durable=True)
    yield made
    made.end()


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    """The URL of a database of the test alone."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield cluster.url.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(cluster.url, autocommit=True) as connection:  # another one: tests end backends, and the server
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
