"""Migrations as Alembic runs them: the library's revisions stand in a branch of their own beside the user's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from eventbus.sql import Database, metadata
from eventbus.sql.tables import VERSION
from tests.sql.events import tables
from tests.sql.test_databases import make_old
from tests.waiting import PATIENCE

ROOT = Path(__file__).parent.parent.parent

_INI = """\
[alembic]
script_location = %(here)s
version_locations = %(here)s/versions eventbus:sql/migrations
path_separator = space
"""
_ENV = """\
import os
from alembic import context
import sqlalchemy as sa
from eventbus.sql import metadata
from tests.sql.events import tables

options = {"target_metadata": [tables, metadata]}
url = os.environ["URL"]
if context.is_offline_mode():
    context.configure(url=url, **options)
    with context.begin_transaction():
        context.run_migrations()
else:
    with sa.create_engine(url).connect() as connection:
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            context.run_migrations()
"""
_OWN = """\
from alembic import op
import sqlalchemy as sa

revision, down_revision, branch_labels, depends_on = "shop_1", None, ("shop",), None

def upgrade():
    op.create_table("effects", sa.Column("id", sa.Integer, primary_key=True), sa.Column("number", sa.Integer))

def downgrade():
    op.drop_table("effects")
"""


class Project:
    """A user's project with migrations of its own."""

    def __init__(self, folder: Path, database: Database) -> None:
        self._folder = folder
        url = database.engine.url.render_as_string(hide_password=False)
        self._environment = {**os.environ, "URL": url, "PYTHONPATH": str(ROOT)}
        (folder / "versions").mkdir()
        for name, text in (("alembic.ini", _INI), ("env.py", _ENV), ("versions/shop_1.py", _OWN)):
            (folder / name).write_text(text)

    def alembic(self, *arguments: str, code: int = 0) -> str:
        """Run the command; return what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "alembic", *arguments],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (done.returncode != 0) == (code != 0), done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.mark.parametrize("is_old", [False, True])
def test_alembic_makes_and_upgrades_the_tables_and_finds_nothing_more_to_do(
    new_database: Callable[..., Database], tmp_path: Path, is_old: bool
) -> None:
    database = new_database()
    if is_old:
        make_old(database)
    project = Project(tmp_path, database)
    project.alembic("upgrade", "heads")
    database.check_tables()
    assert "No new upgrade operations" in project.alembic("check")
    heads = database.read(lambda c: set(c.scalars(sa.text("SELECT version_num FROM alembic_version"))))
    assert heads == {"shop_1", f"eventbus_{VERSION}"}
    if is_old:
        claims = database.read(lambda c: c.execute(sa.text("SELECT channel, event_id FROM eventbus_inbox")).all())
        assert [tuple(each) for each in claims] == [("fulfillment", "id-1")]


def test_alembic_takes_over_tables_that_the_library_made(new_database: Callable[..., Database], tmp_path: Path) -> None:
    database = new_database(metadata, tables)
    project = Project(tmp_path, database)
    project.alembic("stamp", "shop@head")
    project.alembic("upgrade", "eventbus@head")
    assert "No new upgrade operations" in project.alembic("check")
    said = project.alembic("downgrade", "eventbus@base", code=1)
    assert "Restore a backup" in said
    said = project.alembic("upgrade", "eventbus@head", "--sql", code=1)
    assert "Leave out --sql" in said
    database.check_tables()
