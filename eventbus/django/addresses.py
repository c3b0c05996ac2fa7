"""Addresses: a database of Django's settings as the URL that `eventbus relay` takes."""

from typing import Any

import sqlalchemy as sa
from django.db import connections

from eventbus.errors import ConfigurationError

_LIBPQ = {"sslmode", "sslrootcert", "sslcert", "sslkey", "service", "passfile", "options", "target_session_attrs"}


def database_url(alias: str) -> str:
    """Return the URL of a configured database, with its password.

    Raises:
        ConfigurationError: another process cannot reach it, or it is of another kind.
    """
    connection = connections[alias]
    given: dict[str, Any] = connection.settings_dict
    if connection.vendor == "sqlite":
        if connection.is_in_memory_db():
            raise ConfigurationError(f"database {alias!r} lies in the memory of one process; a relay cannot reach it")
        return sa.URL.create("sqlite", database=str(given["NAME"])).render_as_string(hide_password=False)
    if connection.vendor != "postgresql":
        raise ConfigurationError(f"database {alias!r} is {connection.vendor}; a relay knows sqlite and postgresql")
    query = {name: str(value) for name, value in given["OPTIONS"].items() if name in _LIBPQ}
    host, port = given["HOST"] or None, int(given["PORT"]) if given["PORT"] else None
    if host is not None and host.startswith("/"):  # the folder of a Unix socket
        query["host"], host = host, None
        if port is not None:
            query["port"], port = str(port), None
    made = sa.URL.create(
        "postgresql", given["USER"] or None, given["PASSWORD"] or None, host, port, given["NAME"] or None, query
    )
    return made.render_as_string(hide_password=False)
