"""Addresses: which database a bus URL names."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from eventbus.engines.sql.options import SqlOptions
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
