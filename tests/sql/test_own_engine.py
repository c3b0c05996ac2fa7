"""An application's own engine, its ORM in handlers, and tables in a schema of its choice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from typer.testing import CliRunner

from eventbus import Batch, BusStateError, ConfigurationError, Retry, Service
from eventbus.cli.outbox import app
from eventbus.sql import Database, Inbox, LateContext, LateInbox, Outbox, SqlContext, metadata, metadata_in, upgrade
from eventbus.sql.tables import inbox as claims
from eventbus.testing import Harness
from tests.conftest import sqlite_alone
from tests.sql.events import Placed, effects_in, rows_of, tables

MakeDatabase = Callable[..., Database]


class Base(DeclarativeBase):
    pass


class Effect(Base):
    __tablename__ = "effects"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int]


@pytest.fixture
def database(new_database: MakeDatabase) -> Database:
    return new_database(metadata, tables)


def run(
    database: Database,
    handler: Callable[..., None],
    *numbers: int,
    batch: Batch | None = None,
    fails: type[Exception] | None = None,
) -> list[Any]:
    """Let a handler with an inbox handle these events; return the dead letters."""
    service = Service("warehouse")
    service.on(Placed, inbox=Inbox(database), retry=Retry(attempts=2, first=1.0), batch=batch)(handler)
    with Harness() as harness:
        harness.start(service)
        for number in numbers:
            harness.bus.publish(Placed(number=number))
        with nullcontext() if fails is None else harness.expecting(fails):
            harness.settle()
        return list(harness.dead_letters())


def test_an_engine_of_ones_own_serves_and_stays_open(database: Database) -> None:
    own = sa.create_engine(database.engine.url)
    with Database(engine=own) as mine:
        outbox = Outbox(mine, source="billing")
        with Harness() as harness:
            harness.bus.attach(outbox)
            with own.begin() as connection:
                outbox.add(connection, Placed(number=3))
            outbox.wake()
            harness.settle()
            assert [event.number for event in harness.published(Placed)] == [3]
    with own.connect() as connection:
        assert connection.scalar(sa.select(1)) == 1
    own.dispose()


def test_what_is_no_engine_for_it_is_refused(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(ConfigurationError, match="one of the two"):
        Database()
    with pytest.raises(ConfigurationError, match="one of the two"):
        Database("sqlite://", engine=engine)
    with pytest.raises(ConfigurationError, match="create_engine"):
        Database(engine=engine, connect_args={"timeout": 1})
    for driver in ("sqlite+aiosqlite://", "postgresql+psycopg_async://nobody@127.0.0.1/none"):
        with pytest.raises(ConfigurationError, match="not known"):
            Database(engine=sa.create_engine(driver))


def test_a_session_writes_when_the_handler_returns(database: Database) -> None:
    def ship(event: Placed, context: SqlContext) -> None:
        context.session.add(Effect(number=event.number))
        assert context.session is context.session

    assert run(database, ship, 1, 2) == []
    assert effects_in(database) == [1, 2]


def test_a_batch_has_one_session(database: Database) -> None:
    sizes: list[int] = []

    def ship(events: list[Placed], contexts: list[SqlContext]) -> None:
        for event, context in zip(events, contexts, strict=True):
            context.session.add(Effect(number=event.number))
        sizes.append(len({id(context.session) for context in contexts}))

    assert run(database, ship, 1, 2, 3, batch=Batch(size=3, wait=0.1)) == []
    assert effects_in(database) == [1, 2, 3]
    assert sizes == [1]


def test_a_handler_that_fails_takes_the_sessions_work_back(database: Database) -> None:
    def ship(event: Placed, context: SqlContext) -> None:
        context.session.add(Effect(number=event.number))
        context.session.flush()
        raise RuntimeError("after all")

    assert len(run(database, ship, 1, fails=RuntimeError)) == 1
    assert effects_in(database) == []
    assert rows_of(database, claims) == []


def test_a_commit_of_the_session_is_refused_and_a_part_may_fail(database: Database) -> None:
    said: list[str] = []

    def ship(event: Placed, context: SqlContext) -> None:
        context.session.add(Effect(id=1, number=event.number))
        with pytest.raises(sa.exc.IntegrityError), context.session.begin_nested():
            context.session.execute(sa.insert(Effect).values(id=1, number=9))
        try:
            context.session.commit()
        except Exception as error:
            said.append(str(error))
            raise

    assert len(run(database, ship, 1, fails=BusStateError)) == 1
    assert len(said) == 2
    assert all("the inbox commits" in each for each in said)
    assert effects_in(database) == []


def test_what_the_database_refuses_at_the_end_is_told_as_such(database: Database) -> None:
    def ship(event: Placed, context: SqlContext) -> None:
        context.session.add(Effect(id=1, number=event.number))

    (letter,) = run(database, ship, 1, 2, fails=sa.exc.IntegrityError)
    assert "IntegrityError" in repr(letter)
    assert effects_in(database) in ([1], [2])


def test_a_failure_that_the_handler_swallows_takes_all_back(database: Database) -> None:
    def ship(event: Placed, context: SqlContext) -> None:
        context.session.add(Effect(id=1, number=event.number))
        context.session.flush()
        context.session.add(Effect(id=1, number=9))
        with pytest.raises(sa.exc.IntegrityError):
            context.session.flush()

    assert len(run(database, ship, 1, fails=sa.exc.PendingRollbackError)) == 1
    assert effects_in(database) == []


@sqlite_alone
def test_a_late_inbox_has_no_session(database: Database) -> None:
    said: list[str] = []
    service = Service("mail")

    @service.on(Placed, inbox=LateInbox(database))
    def send(event: Placed, context: LateContext) -> None:
        for name in ("connection", "session"):
            try:
                getattr(context, name)
            except Exception as error:
                said.append(str(error))

    with Harness() as harness:
        harness.start(service)
        harness.bus.publish(Placed(number=1))
        harness.settle()
    assert len(said) == 2
    assert all("outside of a transaction" in each for each in said)


# -- a schema of choice -----------------------------------------------------------------------------------------------


def in_schema(url: str, name: str) -> str:
    return sa.make_url(url).update_query_dict({"schema": name}).render_as_string(hide_password=False)


def test_tables_lie_in_a_schema_of_choice_beside_others(new_url: Callable[[], str]) -> None:
    url = new_url()
    if url.startswith("sqlite"):
        with pytest.raises(ConfigurationError, match="schema"):
            Database(f"{url}?schema=events")
        return
    with Database(url) as other:  # tables of the same names in `public` are somebody else's
        other.create_tables(metadata)
    own = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    box = Outbox(source="billing", schema='the "events"')
    with pytest.raises(ConfigurationError, match="has no table"), own.begin() as connection:
        box.add(connection, Placed(number=0))
    with Database(in_schema(url, 'the "events"')) as database:
        with pytest.raises(ConfigurationError, match="has no table"):
            database.check_tables()
        database.create_tables(metadata, tables)
        database.create_tables(metadata)
        database.check_tables()
        with own.begin() as connection:
            box.add(connection, Placed(number=1))
        relay = Outbox(database, source="relay", receipts=None)
        with Harness() as harness:
            harness.bus.attach(relay)
            with own.begin() as connection:
                relay.add(connection, Placed(number=2))
            relay.wake()
            harness.settle()
            assert [event.number for event in harness.published(Placed)] == [1, 2]

        def ship(event: Placed, context: SqlContext) -> None:
            context.session.add(Effect(number=event.number))

        assert run(database, ship, 5) == []
        assert effects_in(database) == [5]
    look = sa.inspect(own)
    assert set(look.get_table_names('the "events"')) == {*metadata.tables, "effects"}
    with own.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM public.eventbus_outbox")) == 0
        assert connection.scalar(sa.text("SELECT count(*) FROM public.eventbus_inbox")) == 0
    own.dispose()


@pytest.mark.parametrize("schema", [None, "events"])
def test_the_printed_statements_make_the_tables(new_url: Callable[[], str], schema: str | None) -> None:
    url = new_url()
    if schema is not None and url.startswith("sqlite"):
        pytest.skip("SQLite has no schemas")
    given = url if schema is None else in_schema(url, schema)
    done = CliRunner().invoke(app, ["ddl", "--database", given])
    assert done.exit_code == 0, done.output
    words = [each for each in done.output.split(";\n") if each.strip()]
    with Database(url) as database:
        database.transact(lambda connection: [connection.exec_driver_sql(each) for each in words])
    with Database(given) as database:
        database.check_tables()
        database.create_tables(metadata)  # finds nothing to do
        database.check_tables()


def test_alembic_sees_no_difference_in_a_schema(new_url: Callable[[], str]) -> None:
    url = new_url()
    schema = None if url.startswith("sqlite") else "events"
    engine = sa.create_engine(sa.make_url(url).set(drivername="sqlite" if schema is None else "postgresql+psycopg"))
    target = metadata if schema is None else metadata_in(schema)
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"include_schemas": schema is not None})
        assert compare_metadata(context, target)
        upgrade(connection, schema=schema)
        assert compare_metadata(context, target) == []
        if schema is not None:
            assert "events" not in (connection.scalar(sa.text("SHOW search_path")) or "")
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "said"), [("mysql://x@y/z", "give sqlite or postgresql"), ("sqlite://?schema=a", "schema"), ("::", "readable")]
)
def test_no_statements_for_what_is_no_database(url: str, said: str) -> None:
    done = CliRunner().invoke(app, ["ddl", "--database", url])
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
