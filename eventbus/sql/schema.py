"""Schema: which version the library's own tables have, and how older ones become this one.

`upgrade` serves `Database.create_tables`, `eventbus outbox tables --create`, and Alembic, whose revisions lie in
`migrations/`: a branch `eventbus` of their own beside the user's, with
`version_locations = %(here)s/versions eventbus:sql/migrations`.

Statements are those that both databases know. Rows stay; what an older version wrote is understood.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.engine.mock import MockConnection

from eventbus.errors import ConfigurationError, TablesNotReadyError
from eventbus.sql.statements import insert_once, is_sqlite
from eventbus.sql.tables import VERSION, inbox, metadata, outbox, receipts_due
from eventbus.sql.tables import schema as schema_table

_LOCK = 0x6576656E  # any number that nothing else locks; "even"
_NAME = "eventbus"
HOW = (
    "run `eventbus outbox tables --create --database URL`, call database.create_tables(eventbus.sql.metadata), or with "
    "Alembic add eventbus:sql/migrations to version_locations and run `alembic upgrade heads`"
)
"""What makes the tables, for messages."""


def lock(connection: Connection) -> None:
    """Let one process at a time change tables: two that create at a time make one of them fail."""
    if not is_sqlite(connection):
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def version_of(connection: Connection) -> int | None:
    """Return the version of the tables that are there; None where there are none."""
    there = set(sa.inspect(connection).get_table_names())
    if schema_table.name in there:
        known: int | None = connection.scalar(sa.select(schema_table.c.version).where(schema_table.c.name == _NAME))
        if known is not None:
            return known
    return 1 if outbox.name in there else None


@contextmanager
def within(connection: Connection, schema: str | None, *, is_made: bool = False) -> Iterator[None]:
    """Look for tables in one schema of PostgreSQL's alone while the block runs; None leaves all as it is.

    Args:
        is_made: the schema is made where it is missing.
    """
    if schema is None:
        yield
        return
    if is_made:
        connection.execute(sa.schema.CreateSchema(schema, if_not_exists=True))
    set_path = sa.text("SELECT set_config('search_path', :path, true)")
    before = connection.scalar(sa.text("SELECT current_setting('search_path')"))
    connection.execute(set_path, {"path": '"' + schema.replace('"', '""') + '"'})
    yield
    connection.execute(set_path, {"path": before})  # one that failed is taken back with the transaction


def statements(dialect: str, schema: str | None = None) -> Iterator[str]:
    """Yield what makes the tables of this version in an empty database, as SQL.

    Args:
        dialect: `postgresql` or `sqlite`.
    """
    written: list[str] = []

    def write(statement: Any, *_: object, **__: object) -> None:
        words = statement.compile(dialect=engine.dialect, compile_kwargs={"literal_binds": True})
        written.append("\n".join(line.rstrip() for line in str(words).strip().splitlines()))

    engine = sa.create_mock_engine(f"{dialect}+psycopg://" if dialect == "postgresql" else "sqlite://", write)
    tables = metadata if schema is None else metadata_in(schema)
    if schema is not None:
        write(sa.schema.CreateSchema(schema, if_not_exists=True))
    tables.create_all(engine, checkfirst=False)
    version = tables.tables[schema_table.name if schema is None else f"{schema}.{schema_table.name}"]
    write(sa.insert(version).values(name=_NAME, version=VERSION))
    yield from written


def metadata_in(schema: str) -> sa.MetaData:
    """Return the library's tables as they lie in a schema of choice, for Alembic's autogenerate (`include_schemas=True`)."""
    found = sa.MetaData(schema=schema)
    for table in metadata.sorted_tables:
        table.to_metadata(found, schema=schema)
    return found


def check(connection: Connection, schema: str | None = None) -> None:
    """Return if the tables are there and of this version.

    Args:
        schema: look there alone.

    Raises:
        TablesNotReadyError: names what is missing or older, and what to do.
        ConfigurationError: they are newer.
    """
    with within(connection, schema):
        _check(connection)


def _check(connection: Connection) -> None:
    found = version_of(connection)
    where = connection.engine.url.render_as_string(hide_password=True)
    if found is None:
        raise TablesNotReadyError(f"{where} has no table {outbox.name}: {HOW}")
    if found > VERSION:
        raise ConfigurationError(
            f"tables eventbus_* in {where} have version {found}, and this library knows {VERSION}; install a newer eventbus"
        )
    if found < VERSION:
        raise TablesNotReadyError(f"tables eventbus_* in {where} have version {found}, and {VERSION} is needed: {HOW}")
    lost = set(metadata.tables) - set(sa.inspect(connection).get_table_names())
    if lost:
        raise TablesNotReadyError(f"{where} has no table {', '.join(sorted(lost))}: {HOW}")


def upgrade(connection: Connection | MockConnection, *, schema: str | None = None) -> None:
    """Bring the library's own tables to this version, in the caller's transaction: make what is missing, change what is
    older.

    Args:
        connection: one of those that only write statements down is what Alembic gives with `--sql`, and is refused.
        schema: make them there, in a schema of PostgreSQL's, which is made too where it is missing.

    Raises:
        ConfigurationError: they are newer, or nothing can be asked of the connection.
    """
    if isinstance(connection, MockConnection):
        raise ConfigurationError(
            "tables eventbus_* cannot be written down as SQL: what is to be done depends on what is there. Leave out --sql"
        )
    lock(connection)
    with within(connection, schema, is_made=True):
        _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    found = version_of(connection)
    if found is not None:
        if found > VERSION:
            _check(connection)
        if found < 2:
            _to_2(connection)
        _add_what_is_missing(connection)
    metadata.create_all(connection)
    insert_once(connection, schema_table, [{"name": _NAME, "version": VERSION}])
    if found is not None and found < VERSION:
        connection.execute(sa.update(schema_table).where(schema_table.c.name == _NAME).values(version=VERSION))


def no_way_back() -> ConfigurationError:
    """Return the error of who asks for an older version."""
    return ConfigurationError(
        "tables eventbus_* do not go back to an older version: it would lose what that one cannot hold. Restore a backup"
    )


def _to_2(connection: Connection) -> None:
    """Claims by (channel, topic, source, id); ids of any length in what is to be sent; an index by topic."""
    there = set(sa.inspect(connection).get_table_names())
    connection.execute(sa.text("DROP INDEX IF EXISTS ix_eventbus_outbox_open"))
    if inbox.name in there:
        connection.execute(sa.text("DROP INDEX IF EXISTS ix_eventbus_inbox_claimed_at"))
        connection.execute(sa.text("ALTER TABLE eventbus_inbox RENAME TO eventbus_inbox_1"))
        if not is_sqlite(connection):
            connection.execute(sa.text("ALTER INDEX eventbus_inbox_pkey RENAME TO eventbus_inbox_1_pkey"))
        inbox.create(connection)
        connection.execute(
            sa.text(
                "INSERT INTO eventbus_inbox (channel, topic, source, event_id, claimed_at) "
                "SELECT channel, '', '', event_id, claimed_at FROM eventbus_inbox_1"
            )
        )
        connection.execute(sa.text("DROP TABLE eventbus_inbox_1"))
    if receipts_due.name in there and not is_sqlite(connection):
        connection.execute(sa.text("ALTER TABLE eventbus_receipts_due ALTER COLUMN event_id TYPE text"))


def _add_what_is_missing(connection: Connection) -> None:
    """Add columns and indexes that tables of this version have and those that are there have not."""
    look = sa.inspect(connection)
    there = set(look.get_table_names())
    for table in metadata.sorted_tables:
        if table.name not in there:
            continue
        columns = {column["name"] for column in look.get_columns(table.name)}
        for column in table.columns:
            if column.name not in columns:
                words = str(sa.schema.CreateColumn(column).compile(dialect=connection.dialect))
                connection.execute(sa.text(f"ALTER TABLE {table.name} ADD COLUMN {words}"))
        indexes = {index["name"] for index in look.get_indexes(table.name)}
        for index in table.indexes:
            if index.name not in indexes:
                index.create(connection)
