"""`eventbus outbox`: what waits, who is waited for, and the tables, without a running service."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from eventbus.cli.outbox import app
from eventbus.sql import Database
from eventbus.sql.tables import outbox, subscribers


def call(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def url(tmp_path: Path) -> str:
    made = f"sqlite:///{tmp_path}/shop.db"
    assert "no table eventbus_outbox" in call("tables", "--database", made, code=2).replace("\n", " ")
    call("tables", "--create", "--database", made)
    call("tables", "--database", made)
    return made


def test_rows_are_listed_and_dropped(url: str) -> None:
    row = {"topic": "placed", "type": "Placed", "body": b"xyz", "created_at": 1.0, "due_at": 0.0, "wants_receipts": False}
    rows = [
        {**row, "event_id": "waits", "refusals": 0, "error": None},
        {**row, "event_id": "refused", "refusals": 3, "error": "too big"},
    ]
    database = Database(url)
    database.transact(lambda connection: connection.execute(sa.insert(outbox), rows))
    found = json.loads(call("list", "--json", "--database", url))
    assert [(each["event_id"], each["state"], each["size"]) for each in found] == [
        ("waits", "waiting", 3),
        ("refused", "refused", 3),
    ]
    assert "too big" in call("list", "--refused", "--database", url)
    call("drop", "--id", "refused", "--yes", "--database", url)
    call("drop", "--id", "refused", "--yes", "--database", url, code=2)
    assert [each["event_id"] for each in json.loads(call("list", "--json", "--database", url))] == ["waits"]
    database.close()


def test_subscribers_are_listed_and_forgotten(url: str) -> None:
    ghost = {"topic": "placed", "type": "Placed", "channel": "ghost", "since": 1.0, "seen_at": 2.0}
    database = Database(url)
    database.transact(lambda connection: connection.execute(sa.insert(subscribers), [ghost]))
    assert json.loads(call("subscribers", "--json", "--database", url)) == [ghost]
    assert "ghost" in call("subscribers", "--database", url)
    call("forget", "placed", "ghost", "--database", url)
    call("forget", "placed", "ghost", "--database", url, code=2)
    database.close()


def test_a_database_that_does_not_answer_ends_with_a_line() -> None:
    said = call("list", "--database", "sqlite:////no/such/folder/x.db", code=3)
    assert "Traceback" not in said
