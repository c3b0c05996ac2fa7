"""Databases as people run them: away, of another version, with old rows, with statements that were given up."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest
import sqlalchemy as sa

from eventbus import ConfigurationError, Retry, Service
from eventbus.errors import DatabaseUnreachableError
from eventbus.sql import Database, Inbox, Outbox, SqlContext, metadata, upgrade
from eventbus.sql.statements import delete_some, lock_register, may_settle
from eventbus.sql.tables import VERSION, receipts, schema
from eventbus.sql.tables import inbox as claims
from eventbus.sql.tables import outbox as table
from tests.conftest import sqlite_alone
from tests.sql.conftest import Shop
from tests.sql.events import Placed, effects_in, note, rows_of

MakeDatabase = Callable[..., Database]


@sqlite_alone
def test_a_database_that_is_away_for_an_hour_makes_no_dead_letters(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.start()
    shop.place(0)
    shop.harness.advance(2.0)

    def away(*_: object, **__: object) -> None:
        raise sa.exc.OperationalError("SELECT 1", {}, Exception("connection refused"))

    with monkeypatch.context() as patched:
        patched.setattr(shop.fulfillment.engine, "connect", away)
        shop.place(1, 2)
        for _ in range(6):
            shop.harness.advance(600.0)
    for _ in range(4):
        shop.harness.advance(15.0)
    assert effects_in(shop.fulfillment) == [0, 1, 2]
    assert shop.harness.dead_letters() == []


def test_missing_tables_are_named_with_what_makes_them(new_database: MakeDatabase, shop: Shop) -> None:
    empty = new_database()
    for attachment in (Outbox(empty), Inbox(empty)):
        with pytest.raises(ConfigurationError, match="eventbus outbox tables --create"):
            shop.harness.bus.attach(attachment)


def shape(connection: sa.Connection) -> dict[str, object]:
    """Return what the library's tables are made of: columns, what may be empty, keys and indexes."""
    look = sa.inspect(connection)
    return {
        name: (
            {each["name"]: (str(each["type"]), each["nullable"]) for each in look.get_columns(name)},
            sorted(look.get_pk_constraint(name)["constrained_columns"]),
            sorted((each["name"] or "", tuple(each["column_names"])) for each in look.get_indexes(name)),
        )
        for name in metadata.tables
    }


def make_old(database: Database) -> None:
    """Make the tables of version 1, with a claim in them."""
    serial, data, real = ("INTEGER", "BLOB", "DOUBLE") if database.is_sqlite else ("BIGSERIAL", "BYTEA", "DOUBLE PRECISION")
    old = [
        f"CREATE TABLE eventbus_outbox (id {serial} PRIMARY KEY NOT NULL, event_id VARCHAR(64) NOT NULL, "
        f"topic VARCHAR(64) NOT NULL, type VARCHAR(1024) NOT NULL, body {data} NOT NULL, "
        f"created_at {real} NOT NULL, due_at {real} NOT NULL, expires_at {real}, wants_receipts BOOLEAN NOT NULL, "
        f"leased_until {real} NOT NULL, published_at {real}, attempts INTEGER NOT NULL, next_at {real}, settled_at {real}, "
        "UNIQUE (event_id))",
        "CREATE TABLE eventbus_inbox (channel VARCHAR(64), event_id VARCHAR(64), "
        f"claimed_at {real} NOT NULL, PRIMARY KEY (channel, event_id))",
        "INSERT INTO eventbus_inbox VALUES ('fulfillment', 'id-1', 5.0)",
    ]
    for statement in old:
        database.transact(lambda connection, s=statement: connection.execute(sa.text(s)))  # type: ignore[misc]


def test_a_migration_makes_what_new_tables_are(new_database: MakeDatabase) -> None:
    old, new = new_database(), new_database()
    make_old(old)
    new.create_tables(metadata)

    def breaks_off(connection: sa.Connection) -> None:
        upgrade(connection)
        raise RuntimeError("a later statement of the same revision")

    with pytest.raises(RuntimeError):  # as Alembic does it, in its own transaction
        old.transact(breaks_off)
    assert [tuple(row) for row in old.read(lambda c: c.execute(sa.text("SELECT * FROM eventbus_inbox")).all())] == [
        ("fulfillment", "id-1", 5.0)
    ], "all or nothing"
    for _ in range(2):  # a second time there is nothing to do
        old.transact(upgrade)
        old.check_tables()
    made, fresh = old.read(shape), new.read(shape)
    for name in metadata.tables:
        columns, keys, indexes = made[name]  # type: ignore[misc]
        expected, expected_keys, expected_indexes = fresh[name]  # type: ignore[misc]
        assert columns.keys() == expected.keys(), name
        assert (keys, indexes) == (expected_keys, expected_indexes), name
    with old.engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(sa.select(claims.c.topic, claims.c.event_id))] == [("", "id-1")]


def test_older_tables_are_brought_up_and_newer_ones_refused(new_database: MakeDatabase) -> None:
    database = new_database()
    make_old(database)
    with pytest.raises(ConfigurationError, match="version 1"):
        database.check_tables()
    database.create_tables(metadata)
    database.check_tables()
    assert [(row.topic, row.event_id) for row in rows_of(database, claims)] == [("", "id-1")]
    columns = database.read(lambda connection: {each["name"] for each in sa.inspect(connection).get_columns(table.name)})
    assert {"error", "refusals"} <= columns
    database.transact(lambda connection: connection.execute(sa.update(schema).values(version=VERSION + 1)))
    with pytest.raises(ConfigurationError, match="newer eventbus"):
        database.check_tables()


def test_clean_up_goes_on_while_there_is_more(shop: Shop) -> None:
    count, old = 12_000, 1.0
    row = {"topic": "placed", "type": "Placed", "body": b"x", "created_at": old, "due_at": 0.0, "wants_receipts": False}
    rows = [{**row, "event_id": f"e{n}", "published_at": old, "attempts": 1, "settled_at": old} for n in range(count)]
    rows.append({**rows[0], "event_id": "young", "settled_at": shop.harness.clock.time()})
    shop.orders.transact(lambda connection: connection.execute(sa.insert(table), rows))
    answers = [{"event_id": each["event_id"], "channel": "f"} for each in rows]
    shop.orders.transact(lambda connection: connection.execute(sa.insert(receipts), answers))
    claimed = [{"channel": "f", "event_id": f"e{n}", "claimed_at": old} for n in range(count)]
    shop.fulfillment.transact(lambda connection: connection.execute(sa.insert(claims), claimed))
    shop.start()
    shop.harness.advance(61.0, timeout=60.0)
    assert [row.event_id for row in rows_of(shop.orders, table)] == ["young"]
    assert [row.event_id for row in rows_of(shop.orders, receipts)] == ["young"]
    assert rows_of(shop.fulfillment, claims) == []


def test_rows_that_somebody_holds_are_passed_over_by_the_clean_up(postgres: Database) -> None:
    postgres.create_tables(metadata)
    row = {"topic": "t", "type": "T", "body": b"x", "created_at": 1.0, "due_at": 0.0, "wants_receipts": True}
    rows = [{**row, "event_id": f"e{n}", "published_at": 1.0, "settled_at": 1.0 + n} for n in range(10)]
    answers = [{"event_id": f"e{n}", "channel": "f"} for n in range(10)]
    postgres.transact(lambda connection: connection.execute(sa.insert(table), rows))
    postgres.transact(lambda connection: connection.execute(sa.insert(receipts), answers))

    def clean(connection: sa.Connection) -> int:
        pair = (table.c.event_id, receipts.c.event_id)
        return delete_some(connection, table, table.c.settled_at < 7.0, limit=4, order=table.c.settled_at, also=pair)

    with postgres.engine.begin() as holder:
        holder.execute(sa.select(table.c.id).where(table.c.event_id == "e1").with_for_update())
        assert [postgres.chore(clean) for _ in range(3)] == [4, 1, 0]
    assert postgres.chore(clean) == 1
    assert [each.event_id for each in rows_of(postgres, table)] == ["e6", "e7", "e8", "e9"]
    assert sorted(str(each.event_id) for each in rows_of(postgres, receipts)) == ["e6", "e7", "e8", "e9"]


def test_a_database_that_does_not_answer_says_so() -> None:
    for url in ("postgresql://nobody@127.0.0.1:9/x", "sqlite:////no/such/folder/x.db"):
        database = Database(url, lock_timeout=1.0)
        with pytest.raises(DatabaseUnreachableError, match="does not answer"):
            database.ping()
        database.close()
    with pytest.raises(ConfigurationError, match="host=one"):
        Database("postgresql://u@h1:5432,h2:5432/db")
    with pytest.raises(ConfigurationError, match="prepare_threshold"):
        Database("postgresql://u@h/db?prepare_threshold=often")


def test_an_engine_of_ones_own(new_database: MakeDatabase) -> None:
    made = new_database()
    database = Database(made.engine)
    database.create_tables(metadata)
    database.check_tables()
    database.close()
    assert made.read(lambda connection: connection.scalar(sa.select(1))) == 1, "it stays open"


# -- PostgreSQL alone -----------------------------------------------------------------------------------------------------


@pytest.fixture
def postgres(new_database: MakeDatabase) -> Database:
    database = new_database()
    if database.is_sqlite:
        pytest.skip("of PostgreSQL alone")
    return database


def test_nothing_is_settled_while_somebody_changes_who_is_waited_for(postgres: Database) -> None:
    with postgres.engine.begin() as one, postgres.engine.begin() as other:
        lock_register(one)
        assert not may_settle(other), "and it does not wait"
    assert postgres.transact(may_settle)


def test_a_statement_that_was_given_up_holds_no_lock(postgres: Database) -> None:
    keys = sa.MetaData()
    numbers = sa.Table("numbers", keys, sa.Column("n", sa.Integer, primary_key=True))
    postgres.create_tables(keys)

    def work(connection: sa.Connection, seconds: float) -> None:
        connection.execute(sa.insert(numbers).values(n=1))
        connection.execute(sa.text("SELECT pg_sleep(:s)"), {"s": seconds})

    job = gevent.spawn(postgres.transact, lambda connection: work(connection, 60.0))
    gevent.sleep(0.5)
    job.kill()
    postgres.transact(lambda connection: work(connection, 0.0))  # would wait for the lock, and fail after lock_timeout


def test_sessions_have_timeouts(postgres: Database) -> None:
    def look(connection: sa.Connection) -> list[str]:
        return [
            str(connection.scalar(sa.text(f"SHOW {name}")))
            for name in ("lock_timeout", "idle_in_transaction_session_timeout")
        ]

    with Database(postgres.engine.url.render_as_string(hide_password=False)) as database:
        assert database.transact(look) == ["5s", "5min"]
        assert database.chore(look) == ["5s", "5min"]


def test_a_server_that_became_read_only_ends_the_pooled_connections(postgres: Database) -> None:
    keys = sa.MetaData()
    sa.Table("numbers", keys, sa.Column("n", sa.Integer))
    postgres.create_tables(keys)
    before = postgres.transact(lambda connection: connection.scalar(sa.text("SELECT pg_backend_pid()")))

    def demoted(connection: sa.Connection) -> None:
        connection.execute(sa.text("SET TRANSACTION READ ONLY"))
        connection.execute(sa.text("INSERT INTO numbers VALUES (1)"))

    with pytest.raises(sa.exc.DBAPIError):
        postgres.transact(demoted)
    assert postgres.transact(lambda connection: connection.scalar(sa.text("SELECT pg_backend_pid()"))) != before


def test_a_handler_in_another_ones_way_is_run_again_at_once(shop: Shop) -> None:
    if shop.fulfillment.is_sqlite:
        pytest.skip("of PostgreSQL alone")
    tries: list[int] = []
    service = Service("rival")

    @service.on(Placed, inbox=shop.inbox, retry=Retry(attempts=1))
    def rival(event: Placed, context: SqlContext) -> None:
        tries.append(context.attempt)
        if len(tries) < 3:
            context.connection.execute(sa.text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$"))
        note(context.connection, event.number)

    shop.harness.start(service)
    shop.harness.publish(Placed(number=1))
    shop.harness.settle()
    assert (tries, effects_in(shop.fulfillment)) == ([1, 1, 1], [1])
