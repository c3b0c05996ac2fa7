"""Adding in programs that have no bus: what is written, what is refused, and that somebody publishes it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from eventbus import Bus, BusStateError, ConfigurationError, MessageTooLargeError
from eventbus.sql import Database, Outbox, metadata
from eventbus.sql.tables import outbox as table
from eventbus.testing import Harness
from eventbus.wire.codec import decode
from tests.sql.events import Placed, effects_in, note, rows_of, tables
from tests.waiting import PATIENCE, eventually

ROOT = Path(__file__).parent.parent.parent
MakeDatabase = Callable[..., Database]


@pytest.fixture
def database(new_database: MakeDatabase) -> Database:
    return new_database(metadata, tables)


@pytest.fixture
def plain(database: Database) -> sa.Engine:
    """An engine as an application makes it, which knows nothing of this library."""
    return sa.create_engine(database.engine.url)


@pytest.fixture
def box() -> Outbox:
    return Outbox(source="billing")


def published(database: Database) -> list[int]:
    """Relay what is there, and return the numbers of what came out."""
    with Harness() as harness:
        harness.bus.attach(Outbox(database, source="relay"))
        harness.settle()
        return [event.number for event in harness.published(Placed)]


def test_a_connection_and_a_session_add_and_a_relay_publishes(database: Database, plain: sa.Engine, box: Outbox) -> None:
    with plain.begin() as connection:
        note(connection, 1)
        box.add(connection, Placed(number=1))
    with Session(plain) as session:
        note(session.connection(), 2)
        box.add(session, Placed(number=2))
        session.commit()
    assert effects_in(database) == [1, 2]
    assert [decode(row.body).source for row in rows_of(database, table)] == ["billing", "billing"]
    assert published(database) == [1, 2]
    plain.dispose()


def test_a_rollback_takes_it_back(database: Database, plain: sa.Engine, box: Outbox) -> None:
    with pytest.raises(ZeroDivisionError), plain.begin() as connection:
        box.add(connection, Placed(number=1))
        raise ZeroDivisionError
    with Session(plain) as session:
        box.add(session, Placed(number=2))
        session.rollback()
    assert rows_of(database, table) == []
    plain.dispose()


def test_threads_add_at_a_time(database: Database, plain: sa.Engine, box: Outbox) -> None:
    def place(number: int) -> str:
        with plain.begin() as connection:
            return box.add(connection, Placed(number=number))

    with ThreadPoolExecutor(4) as threads:
        ids = list(threads.map(place, range(40)))
    assert len(set(ids)) == 40
    assert sorted(published(database)) == list(range(40))
    plain.dispose()


def test_the_event_is_in_the_trace_of_the_current_span(database: Database, plain: sa.Engine, box: Outbox) -> None:
    with TracerProvider().get_tracer("test").start_as_current_span("request") as span, plain.begin() as connection:
        box.add(connection, Placed(number=1))
    found = decode(rows_of(database, table)[0].body).traceparent
    assert found is not None
    assert trace.format_trace_id(span.get_span_context().trace_id) in found
    plain.dispose()


def test_asyncio_adds(new_database: MakeDatabase) -> None:
    database = new_database(metadata, tables)
    url = database.engine.url
    box = Outbox(source="billing")

    async def work() -> None:
        engine = create_async_engine(url.set(drivername="sqlite+aiosqlite") if database.is_sqlite else url)
        async with engine.begin() as connection:
            await box.add_async(connection, Placed(number=1))
        async with AsyncSession(engine) as session:
            await box.add_async(session, Placed(number=2))
            await session.commit()
            await box.add_async(session, Placed(number=3))
            await session.rollback()
            with pytest.raises(TypeError, match="add_async"):
                box.add(session, Placed(number=4))  # type: ignore[arg-type]
        async with engine.connect() as connection:
            with pytest.raises(BusStateError, match="outside of any transaction"):
                await box.add_async(connection, Placed(number=5))
        await engine.dispose()

    asyncio.run(work())
    assert published(database) == [1, 2]


def test_what_would_be_lost_is_refused(database: Database, plain: sa.Engine, box: Outbox) -> None:
    with plain.connect() as connection:
        with pytest.raises(BusStateError, match=r"engine\.begin"):
            box.add(connection, Placed(number=1))
        with connection.begin() as transaction:
            transaction.rollback()
            with pytest.raises((BusStateError, sa.exc.InvalidRequestError), match="transaction"):
                box.add(connection, Placed(number=1))
    with pytest.raises(BusStateError, match="closed"):
        box.add(connection, Placed(number=1))
    alone = plain.execution_options(isolation_level="AUTOCOMMIT")
    with alone.connect() as connection, connection.begin(), pytest.raises(BusStateError, match="AUTOCOMMIT"):
        box.add(connection, Placed(number=1))
    with Session(alone) as session, pytest.raises(BusStateError, match="AUTOCOMMIT"):
        box.add(session, Placed(number=1))
    never = sa.create_engine(database.engine.url, isolation_level="AUTOCOMMIT")
    with never.begin() as connection, pytest.raises(BusStateError, match="AUTOCOMMIT"):
        box.add(connection, Placed(number=1))
    with pytest.raises(TypeError, match="Connection, Session"):
        box.add("sqlite://", Placed(number=1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="AsyncConnection"):
        asyncio.run(box.add_async("sqlite://", Placed(number=1)))  # type: ignore[arg-type]
    assert rows_of(database, table) == []
    never.dispose()
    plain.dispose()


def test_a_missing_table_names_the_command_that_makes_it(new_database: MakeDatabase, box: Outbox) -> None:
    engine = sa.create_engine(new_database().engine.url)
    with pytest.raises(ConfigurationError, match="eventbus outbox tables --create"), engine.begin() as connection:
        box.add(connection, Placed(number=1))
    engine.dispose()


def test_what_could_never_be_sent_adds_nothing(
    database: Database, plain: sa.Engine, box: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Long(Placed, topic="placed"):
        text: str

    with pytest.raises(MessageTooLargeError), plain.begin() as connection:
        box.add(connection, Long(number=1, text="x" * 1_100_000))
    monkeypatch.setenv("EVENTBUS_CODEC", "xml")
    with pytest.raises(ConfigurationError, match="EVENTBUS_CODEC"), plain.begin() as connection:
        Outbox(source="billing").add(connection, Placed(number=1))
    assert rows_of(database, table) == []
    plain.dispose()


def test_an_outbox_without_a_database_only_adds(box: Outbox) -> None:
    with Harness() as harness, pytest.raises(ConfigurationError, match="only adds"):
        harness.bus.attach(box)
    with pytest.raises(ConfigurationError, match="only adds"):
        box.backlog()


def test_who_adds_where_nobody_relays_is_told_once(
    database: Database, plain: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with plain.begin() as connection:
        Outbox(source="billing").add(connection, Placed(number=1))
        assert "nobody publishes" not in caplog.text
        connection.execute(sa.update(table).values(created_at=time.time() - 100.0))
    box = Outbox(source="billing")
    for number in (2, 3):
        with plain.begin() as connection:
            box.add(connection, Placed(number=number))
    assert caplog.text.count("nobody publishes") == 1
    assert "eventbus relay" in caplog.text
    plain.dispose()


PROGRAM = """
import sys
import sqlalchemy as sa
from eventbus import Event
from eventbus.sql import Outbox

class Placed(Event, topic="placed"):
    number: int

with sa.create_engine(sys.argv[1]).begin() as connection:
    Outbox(source="script").add(connection, Placed(number=7))
print([name for name in sys.modules if name.partition(".")[0] in ("gevent", "gnsq")])
"""


def test_a_program_that_only_adds_loads_no_gevent(database: Database) -> None:
    url = database.engine.url.render_as_string(hide_password=False)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, url], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    assert published(database) == [7]


def test_a_relay_that_listens_hears_of_a_commit_at_once(
    new_database: MakeDatabase, plain: sa.Engine, box: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    database = new_database(url=plain.url.render_as_string(hide_password=False))
    if database.is_sqlite:
        pytest.skip("SQLite tells nobody of commits; its relays poll")
    with Bus("memory://") as bus:
        relay = Outbox(database, source="relay", receipts=None, poll=60.0, listens=True)
        bus.attach(relay)
        for number in range(3):
            with plain.begin() as connection:
                box.add(connection, Placed(number=number))
            eventually(lambda: relay.backlog().waiting == 0, "the row to go out long before the poll", timeout=50.0)
    assert "cannot tell of new events" not in caplog.text, "it was another connection's beginning that woke it"
    plain.dispose()
