"""Addresses: the database of a journal, which may be that of a bus and so come with options of a bus."""

from __future__ import annotations

import sqlalchemy as sa

from eventbus.engines.sql.options import PostgresOptions
from eventbus.errors import ConfigurationError

_SCHEMES = {"sqlite", "postgresql", "postgres", "postgresql+psycopg"}
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


_EXAMPLES = "write sqlite:///journal.db, or postgresql://user@host/database"
