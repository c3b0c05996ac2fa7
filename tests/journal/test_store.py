"""The store: each event once, and no more kept than is asked for, exact after each batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import gevent
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from eventbus.errors import ConfigurationError, DecodeError, EncodeError
from eventbus.journal.entries import entry_of, stored_bytes
from eventbus.journal.finding import TableReading
from eventbus.journal.store import Store
from eventbus.journal.tables import batches, events, records, state
from eventbus.sql import Database
from eventbus.testing.databases import failing_commits
from eventbus.wire.codec import CODECS
from eventbus.wire.envelope import Envelope
from tests.journal.events import entry
from tests.outcomes.records import record
from tests.postgres import own_database


@pytest.fixture
def database(new_database: Callable[..., Database]) -> Database:
    return new_database()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def texts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, TableReading]]:
    """A journal for all examples, and its reading."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('texts')}/journal.db"
        else:
            url = stack.enter_context(own_database(request.getfixturevalue("postgres_server")))
        database = stack.enter_context(Database(url))
        yield prepared(database), TableReading(database)


def prepared(database: Database, **limits: Any) -> Store:
    store = Store(database, **limits)
    store.prepare()
    return store


def ids(database: Database) -> list[str]:
    return database.read(lambda connection: list(connection.scalars(sa.select(events.c.id).order_by(events.c.n))))


def held(database: Database) -> int:
    return database.read(lambda connection: connection.scalar(sa.select(state.c.bytes)) or 0)


def test_event_that_comes_again_is_written_once(database: Database) -> None:
    store = prepared(database)
    assert store.write([entry("a"), entry("b"), entry("a")], now=1.0) == 2
    assert store.write([entry("b"), entry("c")], now=2.0) == 1
    assert store.write([entry("c")], now=3.0) == 0
    assert ids(database) == ["a", "b", "c"]
    assert held(database) == 3 * stored_bytes(entry("a"))


def test_same_id_of_another_source_or_on_another_topic_is_another_event(database: Database) -> None:
    store = prepared(database)
    assert store.write([entry("a"), entry("a", source="other"), entry("a", topic="other")], now=1.0) == 3


def test_large_batch_is_written_whole_and_in_order(database: Database) -> None:
    store = prepared(database)
    names = [f"id-{n}" for n in range(1234)]
    told = [record(id=each) for each in names]
    assert store.write([entry(each) for each in names], told, now=1.0) == 1234
    assert ids(database) == names
    found = database.read(lambda connection: list(connection.scalars(sa.select(records.c.id).order_by(records.c.n))))
    assert found == names


def test_batch_that_cannot_be_committed_leaves_nothing(database: Database) -> None:
    store = prepared(database)
    with failing_commits(database), pytest.raises(sa.exc.TimeoutError):
        store.write([entry("a")], [record()], now=1.0, reached={"t": 5})
    assert ids(database) == [] and held(database) == 0 and store.reached() == {}
    assert store.write([entry("a")], now=1.0) == 1


def test_no_more_bytes_are_kept_than_asked_for_after_each_batch(database: Database) -> None:
    size = stored_bytes(entry("00000"))
    store = prepared(database, max_bytes=10 * size)
    for n in range(30):
        store.write([entry(f"{n:04}{m}") for m in range(3)], now=float(n))
        assert held(database) <= 10 * size
    assert ids(database) == [f"{n:04}{m}" for n in (27, 28, 29) for m in range(3)]


def test_batch_larger_than_the_limit_does_not_stay(database: Database) -> None:
    store = prepared(database, max_bytes=1000)
    store.write([entry("a")], now=1.0)
    store.write([entry("b", body=bytes(2000))], now=2.0)
    assert ids(database) == [] and held(database) == 0


def test_what_is_older_than_asked_for_goes_with_the_next_batch_or_without_one(database: Database) -> None:
    store = prepared(database, keep=10.0)
    store.write([entry("a")], [record()], now=100.0)
    store.write([entry("b")], now=105.0)
    assert not store.prune(109.0)
    assert ids(database) == ["a", "b"]
    store.write([entry("c")], now=110.5)
    assert ids(database) == ["b", "c"]
    assert not store.prune(200.0)
    assert ids(database) == [] and held(database) == 0
    assert database.read(lambda connection: connection.scalar(sa.select(sa.func.count()).select_from(records))) == 0


def test_stricter_limit_is_reached_step_by_step(database: Database) -> None:
    store = prepared(database)
    for n in range(50):
        store.write([entry(f"id-{n}")], now=float(n))
    stricter = prepared(database, max_bytes=held(database) // 10)
    steps = 0
    while stricter.prune(100.0):
        steps += 1
    assert steps == 2
    assert 0 < held(database) <= 5 * stored_bytes(entry("id-10"))
    assert len(ids(database)) == database.read(
        lambda connection: connection.scalar(sa.select(sa.func.count()).select_from(batches))
    )


def test_several_writers_write_each_event_once(new_url: Callable[[], str]) -> None:
    url = new_url()
    databases = [Database(url, lock_timeout=300.0) for _ in range(4)]
    stores = [prepared(each) for each in databases]

    def write(store: Store) -> int:
        return sum(store.write([entry(f"id-{n}"), entry(f"id-{n + 1}")], now=1.0) for n in range(25))

    writers = [gevent.spawn(write, store) for store in stores]
    assert sum(each.get() for each in writers) == 26
    assert len(ids(databases[0])) == 26
    assert held(databases[0]) == sum(stored_bytes(entry(f"id-{n}")) for n in range(26))
    for each in databases:
        each.close()


def test_place_in_a_log_is_written_down_with_its_batch(database: Database) -> None:
    store = prepared(database)
    store.write([entry("a", place=7, body=None)], now=1.0, reached={"t": 7})
    store.write([], now=1.0, reached={"t": 9, "u": 1})
    assert store.reached() == {"t": 9, "u": 1}


def test_tables_of_a_newer_version_are_refused(database: Database) -> None:
    prepared(database)
    database.transact(lambda connection: connection.execute(sa.update(state).values(version=99)))
    with pytest.raises(ConfigurationError, match="version 99"):
        Store(database).prepare()


@pytest.mark.parametrize("limits", [{"keep": 0.0}, {"keep": -1.0}, {"max_bytes": 0}, {"keep": float("nan")}])
def test_limits_that_keep_nothing_are_refused(new_database: Callable[..., Database], limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="above 0"):
        Store(new_database(), **limits)


_TEXT = st.text(min_size=1, max_size=20) | st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)


@given(ids=st.lists(_TEXT, min_size=1, max_size=5), subject=_TEXT | st.none(), cause=_TEXT | st.none(), kind=_TEXT)
@settings(max_examples=60)
def test_whatever_readers_take_is_written_and_found(
    texts: tuple[Store, TableReading], ids: list[str], subject: str | None, cause: str | None, kind: str
) -> None:
    store, reading = texts
    for id in ids:
        sent = Envelope(id, kind, kind, "2027-01-15T08:00:00Z", None, subject=subject, causation_id=cause, correlation_id=id)
        try:
            found = entry_of("t", CODECS["msgpack"]().encode(sent), 1.0)
        except (DecodeError, EncodeError):
            reading.find(id, type=kind)  # is no error, whatever is asked
            reading.chain(id)
            continue
        store.write([found], now=1.0)
        assert id in [each.id for each in reading.find(id, type=kind, limit=1000)]
        chain = reading.chain(id)
        assert chain is not None and id in [each.id for each in chain.events]
