"""The doctor's look at databases of outboxes and inboxes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from eventbus import Service
from eventbus.doctor import Level
from eventbus.doctor.databases import check_databases
from eventbus.doctor.findings import Finding
from eventbus.sql import Database, Inbox, Outbox, SqlContext, metadata
from eventbus.sql.tables import outbox as table
from eventbus.testing import Harness
from tests.sql.events import Placed


def look(database: Database) -> list[Finding]:
    service = Service("fulfillment")

    @service.on(Placed, inbox=Inbox(database, outbox=Outbox(database, source="fulfillment")))
    def ship(event: Placed, context: SqlContext) -> None: ...

    return list(check_databases([service, service.replica()]))


def add(database: Database, **changes: object) -> None:
    row = {"event_id": "1", "topic": "placed", "type": "Placed", "body": b"x", "created_at": time.time(), "due_at": 0.0}
    insert = sa.insert(table).values({**row, "wants_receipts": True, **changes})
    database.transact(lambda connection: connection.execute(insert))


def test_what_is_well_is_said_in_figures(new_database: Callable[..., Database]) -> None:
    database = new_database(metadata)
    add(database)
    add(database, event_id="2", published_at=time.time())
    (found,) = look(database)
    assert found.level is Level.OK
    assert "1 rows wait, 0 are delayed, 1 wait for receipts" in found.text


def test_tables_that_are_missing_or_of_another_version_name_the_command(new_database: Callable[..., Database]) -> None:
    database = new_database()
    database.ping()
    (found,) = look(database)
    assert found.level is Level.FAULT
    assert "has no table eventbus_outbox" in found.text
    assert "eventbus outbox tables --create --database" in found.mend
    database.create_tables(metadata)
    database.transact(lambda connection: connection.exec_driver_sql("UPDATE eventbus_schema SET version = 99"))
    (found,) = look(database)
    assert (found.level, "version 99" in found.text) == (Level.FAULT, True)


def test_rows_that_wait_too_long_and_refused_ones_are_warned_of(new_database: Callable[..., Database]) -> None:
    database = new_database(metadata)
    add(database, created_at=time.time() - 1000.0, refusals=3)
    refused, old = look(database)
    assert (refused.level, old.level) == (Level.WARNING, Level.WARNING)
    assert "refused 1 rows" in refused.text
    assert "the oldest is due for 10" in old.text


def test_an_outbox_that_nobody_relays_is_named(new_database: Callable[..., Database]) -> None:
    database = new_database(metadata)
    database.transact(lambda connection: Outbox(source="billing").add(connection, Placed(number=1)))
    database.transact(lambda connection: connection.execute(sa.update(table).values(created_at=time.time() - 1000.0)))
    (found,) = check_databases([], [Outbox(database)])
    assert (found.level, "has no relay" in found.text) == (Level.WARNING, True)
    assert "eventbus relay --database" in found.mend
    with Harness() as harness:
        harness.bus.attach(Outbox(database, source="relay", receipts=None))
        with harness.broker_down():
            harness.advance(5.0)
            (found,) = check_databases([], [Outbox(database)])
            assert (found.level, "no relay" in found.text) == (Level.WARNING, False)
            assert "does its broker answer" in found.mend


def test_a_database_that_is_away_is_a_fault_and_no_file_is_made(tmp_path: Path) -> None:
    with Database("postgresql://nobody@127.0.0.1:1/none", lock_timeout=1.0) as database:
        (found,) = look(database)
        assert (found.level, "does not answer" in found.text) == (Level.FAULT, True)
    with Database(f"sqlite:///{tmp_path / 'none.db'}") as database:
        (found,) = look(database)
        assert (found.level, "no such file" in found.text) == (Level.FAULT, True)
    assert list(tmp_path.iterdir()) == []
