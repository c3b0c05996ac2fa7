"""Channels that `[tool.eventbus.expect]` names are waited for by the outboxes that `eventbus run` starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventbus import Event, Service
from eventbus.cli.expecting import expected_channels, tell
from eventbus.errors import ConfigurationError
from eventbus.sql import Database, Inbox, Outbox, metadata
from eventbus.sql.tables import subscribers
from tests.cli.running import run_command
from tests.sql.events import rows_of

PROGRAM = """
import os
from eventbus import Service
from eventbus.sql import Database, Outbox, metadata

database = Database(os.environ["SHOP_DATABASE"])
database.create_tables(metadata)
outbox = Outbox(database, source="shop")
outbox.expect("shop_paid", ["own_choice"])
service = Service("shop")
service.attach(outbox)
"""


class Placed(Event, topic="placed"):
    number: int


def test_run_waits_for_the_channels_that_pyproject_names(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(PROGRAM)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.eventbus.expect]\nshop_placed = ["fulfillment", "billing"]\nshop_paid = ["other"]\n'
    )
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    done = run_command(
        "run", "shop:service", "--burst", folder=tmp_path, given=b"", SHOP_DATABASE=url, EVENTBUS_URL="memory://"
    )
    assert done.code == 0, done.err
    with Database(url) as database:
        database.create_tables(metadata)
        there = {(row.topic, row.channel) for row in rows_of(database, subscribers)}
    assert there == {("shop_placed", "fulfillment"), ("shop_placed", "billing"), ("shop_paid", "own_choice")}


def test_what_the_code_says_goes_first_and_outboxes_of_inboxes_are_told(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'shop.db'}") as database:
        outbox = Outbox(database)
        outbox.expect(Placed, ["mine"])
        service = Service("shop")

        @service.on(Placed, inbox=Inbox(database, outbox=outbox))
        def handle(event: Placed) -> None:
            pass

        tell([service, service.replica()], {"placed": ["other"], "shipped": ["billing"]})
        assert outbox.expected == {"placed": ("mine",), "shipped": ("billing",)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("expect = 5", "is no table; write"),
        ('expect = { placed = "fulfillment" }', "expect.placed is no list"),
        ("expect = { placed = [5] }", "expect.placed is no list"),
        ('expect = { placed = ["no good"] }', "expect.placed"),
        ('expect = { "no good" = ["fulfillment"] }', "expect.no good"),
        ("expect = ", "pyproject.toml"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(f"[tool.eventbus]\n{text}\n")
    with pytest.raises(ConfigurationError, match=said):
        expected_channels(path)


def test_nothing_is_expected_where_nothing_is_said(tmp_path: Path) -> None:
    assert expected_channels(tmp_path / "pyproject.toml") == {}
    (tmp_path / "pyproject.toml").write_text("[tool.eventbus]\nservices = []\n")
    assert expected_channels(tmp_path / "pyproject.toml") == {}
