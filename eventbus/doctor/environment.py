"""Checks of this process's environment: versions, patching, limits of the system, variables that nobody reads."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version

import gevent.monkey
from packaging.version import Version

from eventbus.doctor.findings import Finding, fault, note, ok, warning
from eventbus.wire.packing import LIBRARY
from eventbus.wire.scanning import PURE, READER

_LEAST = {"gevent": "26.9", "gnsq": "1.0.2", "msgpack": "1.2.1", "pydantic": "2.12"}
_FILES = 4096
_COMMANDS = {
    *("APP_DIR", "BLOCKING_LIMIT", "BURST", "CONCURRENCY", "CONTRACTS_FROM", "DATABASE_URL", "FACTORY", "FAILPOINTS"),
    *("HEALTH_HOST", "HEALTH_PORT", "LOG_FORMAT", "LOG_LEVEL", "MAX_MESSAGES", "PAGE_TOKEN", "PAGE_TOKEN_FILE", "PURE"),
    *("RELOAD", "WAIT", "WORKERS"),
}
"""Variables that commands and parts of the library read, beside those of the settings."""


def check_environment(known: Mapping[str, object], environment: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """Yield what is to be said of this process.

    Args:
        known: names of the settings that are read, without their prefix.
        environment: variables; those of the process unless given.
    """
    yield from _versions()
    yield from _patching()
    yield from _files()
    variables = os.environ if environment is None else environment
    yield from _signing(variables.get("EVENTBUS_SIGN", "off"))
    yield from _variables(set(known) | _COMMANDS, variables)


def _versions() -> Iterator[Finding]:
    found: list[str] = [f"Python {sys.version.split()[0]}"]
    for name, least in _LEAST.items():
        try:
            there = version(name)
        except PackageNotFoundError:
            yield fault("versions", f"{name} is not installed", f"pip install '{name}>={least}'")
            continue
        found.append(f"{name} {there}")
        if Version(there) < Version(least):
            yield fault("versions", f"{name} {there} is older than {least}", f"pip install '{name}>={least}'")
    yield ok("versions", ", ".join(found))
    if READER == "C":
        yield ok("extension", "events are read by the extension in C")
    else:
        why = f"{PURE} is set" if os.environ.get(PURE) else "it was not built"
        yield note(
            "extension",
            f"events are read in Python: {why}",
            "install eventbus again where gcc or another C compiler is: events decode three times as fast",
        )
    if LIBRARY == "msgpack":
        yield note("fast", "the extra `fast` is not installed", "pip install 'eventbus[fast]': events decode twice as fast")


def _signing(mode: str) -> Iterator[Finding]:
    """Whose word is believed here: docs/guides/signing.md."""
    if mode == "require":
        yield ok("signing", "events are signed, and what is not genuine is parked unread")
    elif mode == "write":
        yield note(
            "signing",
            "events are signed here, and what comes unsigned is believed",
            "EVENTBUS_SIGN=require, once all publishers sign",
        )
    else:
        yield note(
            "signing",
            "events are not signed: whoever can publish to the broker is believed",
            "for money or addresses: EVENTBUS_KEYS_FILE and EVENTBUS_SIGN, in three steps without a stop",
        )


def _patching() -> Iterator[Finding]:
    """gevent patches modules; what was imported before it keeps the blocking ones."""
    if not gevent.monkey.is_module_patched("socket"):
        yield note(
            "patching",
            "the standard library is not patched here",
            "start services with `eventbus run`, which patches first, or do so in the first lines of your program",
        )
        return
    psycopg = sys.modules.get("psycopg.waiting")
    if psycopg is not None and getattr(psycopg, "wait", None) is getattr(psycopg, "wait_c", object()):
        yield fault(
            "patching",
            "psycopg was imported before the patching: each query blocks the hub",
            "patch before anything else is imported",
        )
        return
    yield ok("patching", "the standard library is patched")


def _files() -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        yield warning(
            "files",
            f"at most {soft:,} open files: each connection to an nsqd or a database takes one",
            f"ulimit -n {_FILES * 4}, or LimitNOFILE= in the unit, or ulimits: in docker-compose.yml",
        )
    else:
        yield ok("files", f"up to {soft:,} open files")


def _variables(known: set[str], environment: Mapping[str, str]) -> Iterator[Finding]:
    unknown = [
        name
        for name in environment
        if name.startswith("EVENTBUS_") and name.removeprefix("EVENTBUS_").removeprefix("NSQ_") not in known
    ]
    for name in sorted(unknown):
        close = get_close_matches(name.removeprefix("EVENTBUS_"), sorted(known), n=1)
        hint = f"did you mean EVENTBUS_{close[0]}?" if close else "take it away"
        yield warning("variables", f"{name} is set, and nothing reads it", hint)
    if not unknown:
        yield ok("variables", "every EVENTBUS_* variable is one that is read")
