"""Publishes in a transaction of the caller's own: there exactly if it commits."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import psycopg
import pytest
import sqlalchemy as sa
from psycopg.rows import dict_row
from sqlalchemy.orm import Session

from eventbus import Bus, BusStateError, ConfigurationError, Service
from eventbus.sql import Database
from tests.sql_engine.worker import Numbered
from tests.waiting import eventually, stays


@pytest.fixture
def seen() -> list[int]:
    return []


def _running(url: str, seen: list[int]) -> Iterator[Bus]:
    service = Service("one")
    service.on(Numbered)(lambda event: seen.append(event.number))
    with Bus(url) as bus:
        bus.start(service)
        yield bus


@pytest.fixture
def bus(url: str, seen: list[int]) -> Iterator[Bus]:
    yield from _running(url, seen)


@pytest.fixture
def postgres_bus(database: str, seen: list[int]) -> Iterator[Bus]:
    yield from _running(database, seen)


def test_a_commit_publishes_and_a_rollback_does_not(bus: Bus, file: Path, seen: list[int]) -> None:
    connection = sqlite3.connect(file)
    connection.row_factory = sqlite3.Row
    connection.execute("CREATE TABLE orders (id INTEGER)")
    for number in range(4):
        connection.execute("INSERT INTO orders VALUES (?)", (number,))
        bus.publish(Numbered(number=number), connection=connection)
        stays(lambda number=number: number not in seen, 0.1)
        if number % 2:
            connection.commit()
        else:
            connection.rollback()
    eventually(lambda: seen == [1, 3])
    assert [tuple(row) for row in connection.execute("SELECT id FROM orders")] == [(1,), (3,)]
    connection.close()


def test_a_unit_of_work_in_a_thread_publishes_with_its_connection(bus: Bus, url: str, seen: list[int]) -> None:
    with Database(url) as database:

        def place(connection: sa.Connection) -> None:
            bus.publish(Numbered(number=1), connection=connection)

        def fail(connection: sa.Connection) -> None:
            bus.publish(Numbered(number=2), connection=connection)
            raise ValueError

        database.transact(place)
        with pytest.raises(ValueError):  # noqa: PT011 - ours
            database.transact(fail)
    eventually(lambda: seen == [1])
    stays(lambda: seen == [1], 0.2)


def test_sessions_and_connections_of_postgresql(postgres_bus: Bus, database: str, seen: list[int]) -> None:
    with psycopg.connect(database, row_factory=dict_row) as connection:
        postgres_bus.publish(Numbered(number=1), connection=connection)
        stays(lambda: not seen, 0.1)
        connection.commit()
        eventually(lambda: seen == [1])
        postgres_bus.publish(Numbered(number=2), connection=connection)
        connection.rollback()
    engine = sa.create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    with Session(engine) as session:
        for number in range(3, 60):
            postgres_bus.publish(Numbered(number=number), connection=session)
        session.commit()
    engine.dispose()
    eventually(lambda: sorted(seen) == [1, *range(3, 60)])


def test_a_connection_without_a_transaction_is_refused(bus: Bus, file: Path) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    with pytest.raises(BusStateError, match="no transaction is open"):
        bus.publish(Numbered(number=1), connection=connection)
    connection.close()


def test_a_connection_of_postgresql_without_a_transaction_is_refused(postgres_bus: Bus, database: str) -> None:
    with (
        psycopg.connect(database, autocommit=True) as connection,
        pytest.raises(BusStateError, match="no transaction is open"),
    ):
        postgres_bus.publish(Numbered(number=1), connection=connection)


def test_a_connection_to_something_else_is_refused(bus: Bus, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.db")
    strangers: list[Any] = [other, object()]
    for each in strangers:
        with pytest.raises(ConfigurationError, match="the (bus is the )?sqlite file"):
            bus.publish(Numbered(number=1), connection=each)
    other.close()
    with Bus("memory://") as memory, pytest.raises(ConfigurationError, match="lies in no database"):
        memory.publish(Numbered(number=1), connection=object())


def test_the_bus_itself_waits_for_the_callers_transaction(bus: Bus, file: Path, seen: list[int]) -> None:
    connection = sqlite3.connect(file)
    bus.publish(Numbered(number=1), connection=connection)
    waiting = gevent.spawn(bus.publish, Numbered(number=2))
    stays(lambda: not waiting.ready(), 0.2)
    connection.commit()
    waiting.get(timeout=30)
    eventually(lambda: sorted(seen) == [1, 2])
    connection.close()
