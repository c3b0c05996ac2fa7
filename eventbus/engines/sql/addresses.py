"""Addresses: which database a bus URL names."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from eventbus.engines.sql.options import PostgresOptions, SqlOptions
from eventbus.engines.sql.session import Backend
from eventbus.engines.sql.sqlite import SqliteBackend
from eventbus.engines.url import read_options
from eventbus.errors import ConfigurationError

_EXAMPLES = "write sqlite:///bus.db for a file in this folder, sqlite:////var/lib/app/bus.db for one from the root"


@dataclass(frozen=True, slots=True)
class Target:
    """A database, the options of the bus on it, and how to reach it.

    Attributes:
        key: the same for all URLs of one database that are used in the same way.
    """

    scheme: str
    options: SqlOptions
    key: str
    backend: Callable[[], Backend]


def parse(url: str) -> Target:
    """Return what a URL names.

    Raises:
        ConfigurationError: says what is wrong with it.
    """
    return _sqlite(url) if urlsplit(url).scheme == "sqlite" else _postgresql(url)


def _sqlite(url: str) -> Target:
    parts = urlsplit(url)
    options = read_options(url, SqlOptions)
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost"):
        raise ConfigurationError(f"bus URL: sqlite://{parts.netloc}... names a host where none can be; {_EXAMPLES}")
    if not path.startswith("/") or path in ("/", "/:memory:"):
        raise ConfigurationError(
            f"bus URL: sqlite:// needs a file; {_EXAMPLES}, and memory:// for a bus in this process alone"
        )
    if "\0" in path:
        raise ConfigurationError("bus URL: a path holds no zero byte")
    file = path[1:]
    if file.endswith("/"):
        raise ConfigurationError(f"bus URL: {file!r} is a directory; {_EXAMPLES}")

    def make() -> Backend:
        return SqliteBackend(file, synchronous=options.synchronous, poll=options.poll)

    return Target("sqlite", options, f"{os.path.realpath(file)}?{options.synchronous}&{options.poll}&{options.retain}", make)


def _postgresql(url: str) -> Target:
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    ours = {field.alias or name for name, field in PostgresOptions.model_fields.items()}
    mine = urlencode([pair for pair in query if pair[0] in ours])
    options = read_options(f"postgresql://?{mine}", PostgresOptions)
    theirs = urlencode([pair for pair in query if pair[0] not in ours])
    conninfo = urlunsplit(("postgresql", parts.netloc, parts.path, theirs, ""))
    try:
        from eventbus.engines.sql.postgresql import PostgresBackend
        from eventbus.engines.sql.postgresql_database import PostgresDatabase, check_conninfo
    except ImportError:
        raise ConfigurationError("bus URL: postgresql:// needs psycopg; install eventbus[sql]") from None
    check_conninfo(conninfo)

    def make() -> Backend:
        return PostgresBackend(PostgresDatabase(conninfo, schema_name=options.schema_), poll=options.poll)

    return Target("postgresql", options, f"{conninfo}?{mine}", make)
