"""Addresses: the database of a journal, which may be that of a bus and so come with options of a bus."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import sqlalchemy as sa

from eventbus.engines.sql.options import PostgresOptions
from eventbus.errors import ConfigurationError

_SCHEMES = {"sqlite", "postgresql", "postgres", "postgresql+psycopg"}
_OF_LOGS = {"sqlite", "postgresql"}
"""Schemes of buses that keep a log in a database."""
_OF_BUS = {field.alias or name for name, field in PostgresOptions.model_fields.items()} - {"schema"}


def database_url(url: str) -> sa.URL:
    """Return the database that a URL names, without options that only a bus has.

    Raises:
        ConfigurationError: it names none where a journal can be.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise ConfigurationError(f"journal: the database's URL cannot be read; {_EXAMPLES}") from None
    if parsed.drivername not in _SCHEMES:
        raise ConfigurationError(f"journal: no journal can be in {parsed.drivername[:40]!r}; {_EXAMPLES}")
    if parsed.drivername != "sqlite":
        return parsed.difference_update_query(_OF_BUS)
    if parsed.database in (None, "", ":memory:"):
        raise ConfigurationError(f"journal: sqlite:// needs a file; {_EXAMPLES}")
    return parsed.set(query={})


def journal_url(database: str | None, bus: str) -> sa.URL:
    """Return where a journal is: in the database that is given, or in that of the bus.

    Raises:
        ConfigurationError: nothing is given, and the bus is in no database.
    """
    if database is not None:
        return database_url(database)
    if urlsplit(bus).scheme not in _OF_LOGS:
        raise ConfigurationError(f"journal: give --database, since the bus is in none; {_EXAMPLES}")
    return database_url(bus)


def is_of_bus(journal: sa.URL, bus: str) -> bool:
    """Whether a journal is in the database of the bus, whose log is there already."""
    return urlsplit(bus).scheme in _OF_LOGS and is_same(journal, database_url(bus))


def is_same(one: sa.URL, other: sa.URL) -> bool:
    """Whether two URLs, as `database_url` returns them, name the same database."""
    if one.drivername == "sqlite" or other.drivername == "sqlite":
        return one.drivername == other.drivername and (
            os.path.realpath(str(one.database)) == os.path.realpath(str(other.database))
        )
    return _place(one) == _place(other)


def _place(url: sa.URL) -> tuple[object, ...]:
    return url.host or "localhost", url.port or 5432, url.database, url.query.get("host"), url.query.get("schema")


_EXAMPLES = "write sqlite:///journal.db, or postgresql://user@host/database"
