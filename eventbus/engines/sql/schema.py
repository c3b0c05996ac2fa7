"""The tables of the SQL engine, their version, and who may use them."""

from __future__ import annotations

from eventbus.engines.sql.session import Session
from eventbus.errors import ConfigurationError

VERSION = 1
PREFIX = "eventbus_bus_"

TABLES = (
    # last: id of the newest message. start: where a topic's first channel begins, since nobody took what came after it.
    # paused_at: the newest message when the topic was paused; channels go no further.
    """CREATE TABLE eventbus_bus_topics (
        id {key}, name TEXT NOT NULL UNIQUE, made {real} NOT NULL, last BIGINT NOT NULL, start BIGINT NOT NULL,
        paused_at BIGINT){fill}""",
    # due: before this instant no channel may hand it out; 0 for at once
    """CREATE TABLE eventbus_bus_log (
        id {bigkey} PRIMARY KEY, at {real} NOT NULL, due {real} NOT NULL, body {bytes} NOT NULL)""",
    # position: the newest message that was taken; what came before it is finished, leased or an exception
    """CREATE TABLE eventbus_bus_channels (
        id {key}, topic INTEGER NOT NULL REFERENCES eventbus_bus_topics (id), name TEXT NOT NULL,
        started BIGINT NOT NULL, position BIGINT NOT NULL, is_paused INTEGER NOT NULL DEFAULT 0,
        requeued BIGINT NOT NULL DEFAULT 0, timed_out BIGINT NOT NULL DEFAULT 0, UNIQUE (topic, name)){fill}""",
    # a run of the log in one subscriber's hands; done: a bit for each message that is answered
    """CREATE TABLE eventbus_bus_leases (
        token TEXT PRIMARY KEY, channel INTEGER NOT NULL, first BIGINT NOT NULL, last BIGINT NOT NULL, done {bytes} NOT NULL,
        remaining INTEGER NOT NULL, until {real} NOT NULL){norowid}""",
    "CREATE INDEX eventbus_bus_leases_until ON eventbus_bus_leases (channel, until)",
    # single messages that were not finished in their run; due: when somebody may take it; token: who holds it until then
    """CREATE TABLE eventbus_bus_exceptions (
        id BIGINT NOT NULL, channel INTEGER NOT NULL, attempts INTEGER NOT NULL, due {real} NOT NULL, token TEXT,
        PRIMARY KEY (id, channel)){norowid}""",
    "CREATE INDEX eventbus_bus_exceptions_due ON eventbus_bus_exceptions (channel, due)",
    """CREATE TABLE eventbus_bus_subscribers (
        token TEXT PRIMARY KEY, channel INTEGER NOT NULL, until {real} NOT NULL){norowid}""",
    "CREATE TABLE eventbus_bus_version (version INTEGER NOT NULL)",
)

UPGRADES: dict[int, tuple[str, ...]] = {}
"""Statements that bring a version of the tables to the next one, by the version that they start from."""


def version_of(session: Session) -> int:
    """Return the version of the tables that are there; needs them."""
    found = session.rows("SELECT version FROM eventbus_bus_version")
    return int(found[0][0]) if found else 0


def make(session: Session, words: dict[str, str]) -> None:
    """Make the tables, with a dialect's words for types. In one transaction with the look that found none."""
    for statement in TABLES:
        session.run(statement.format_map(words))
    session.run("INSERT INTO eventbus_bus_version (version) VALUES (?)", (VERSION,))


def upgrade(session: Session, where: str, words: dict[str, str]) -> None:
    """Bring older tables to this version.

    Raises:
        ConfigurationError: they are newer than this library.
    """
    there = version_of(session)
    if there > VERSION:
        raise ConfigurationError(
            f"{where}: its tables have version {there}, and this library knows {VERSION}: install a newer eventbus here"
        )
    while there < VERSION:
        if there not in UPGRADES:
            raise ConfigurationError(
                f"{where}: its tables have version {there}, which this library cannot bring to {VERSION}"
            )
        for statement in UPGRADES[there]:
            session.run(statement.format_map(words))
        there += 1
        session.run("UPDATE eventbus_bus_version SET version = ?", (there,))
