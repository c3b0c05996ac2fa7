"""Adding: an event becomes a row in the caller's own transaction.

It needs no bus, no hub and no gevent: any program that has a database may do it, in any thread, greenlet or event loop. What
is added is published by the relay of whichever process has one on that database.
"""

from __future__ import annotations

import logging
import math
import sys
from functools import cache
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.errors import BusStateError, ConfigurationError
from eventbus.event import Event, event_info, event_topic
from eventbus.publishing.envelopes import EnvelopeFactory
from eventbus.runtime.clock import SystemClock
from eventbus.runtime.randomness import SYSTEM
from eventbus.settings import BusSettings
from eventbus.sql.receipts import REPLY, receipt_topic
from eventbus.sql.schema import HOW, metadata_in
from eventbus.sql.statements import insert_and_notify, insert_once, is_sqlite
from eventbus.sql.tables import outbox
from eventbus.wire.codec import CODECS
from eventbus.wire.envelope import Envelope
from eventbus.wire.limits import DEFAULT_LIMITS, RESERVE

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session, scoped_session

    from eventbus.publishing.publisher import Publisher

Given: TypeAlias = Union[Connection, "Session", "scoped_session[Any]"]
"""What may be handed to `Outbox.add`."""

log = logging.getLogger("eventbus.sql")

NOTIFIED = "eventbus_outbox"
"""PostgreSQL's channel on which relays hear at once of what other programs added."""
_LOOK_EVERY = 60.0
_AUTOCOMMIT = "AUTOCOMMIT"
_UNDEFINED_TABLE = "42P01"  # https://www.postgresql.org/docs/current/errcodes-appendix.html


class Unattached:
    """Makes the bytes of events where no bus runs; safe in several threads.

    Args:
        source: name of the publishing service; EVENTBUS_SOURCE or the program's unless given.

    Raises:
        ConfigurationError: a variable of the environment is wrong.
    """

    def __init__(self, source: str | None) -> None:
        settings = BusSettings.from_environment()
        if settings.codec not in CODECS:
            raise ConfigurationError(f"EVENTBUS_CODEC: unknown codec {settings.codec!r}; known are {', '.join(CODECS)}")
        check = None
        if settings.contracts != "off":
            from eventbus.contracts.enforce import Enforcer

            check = Enforcer(settings.contracts_from, is_strict=settings.contracts == "enforce").check_event
        self.envelopes = EnvelopeFactory(
            CODECS[settings.codec](),
            source or settings.source or Path(sys.argv[0]).stem or "python",
            clock=SystemClock(),
            randomness=SYSTEM,
            max_bytes=DEFAULT_LIMITS.max_bytes - RESERVE,
            check=check,
        )

    def enqueue(self, topic: str, envelope: Envelope) -> bytes:
        """Return the bytes to keep, in the trace of the caller's current span."""
        envelope.traceparent = _current_traceparent() or envelope.traceparent
        return self.envelopes.encode(envelope)


def row_of(
    made: Unattached | Publisher,
    event: Event,
    *,
    now: float,
    wants_receipts: bool,
    delay: float | None = None,
    deliver_at: datetime | None = None,
    expires_in: float | None = None,
    subject: str | None = None,
) -> dict[str, Any]:
    """Return the row that `event` becomes, added at `now` in seconds since 1970.

    Args:
        made: what makes its bytes.
        delay, deliver_at, expires_in, subject: as of `Bus.publish`.

    Raises:
        EncodeError, MessageTooLargeError: it could never be sent.
    """
    topic = event_topic(type(event))
    envelope = made.envelopes.make(event, subject=subject, expires_in=expires_in)
    due = 0.0
    if delay is not None or deliver_at is not None:
        made.envelopes.defer(envelope, delay, deliver_at)
        due, envelope.deliver_at = envelope.deliver_at or 0.0, None
    if wants_receipts:
        envelope.extensions = {**(envelope.extensions or {}), REPLY: receipt_topic(topic)}
    return {
        "event_id": envelope.id,
        "topic": topic,
        "type": event_info(type(event)).name,
        "body": made.enqueue(topic, envelope),
        "created_at": now,
        "due_at": due,
        "expires_at": envelope.expires_at,
        "wants_receipts": wants_receipts,
    }


def _current_traceparent() -> str | None:
    """Return the W3C trace context of OpenTelemetry's current span; without its library there is none."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    span = trace.get_current_span().get_span_context()
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}" if span.is_valid else None


def connection_of(given: Given) -> tuple[Connection, Session | None]:
    """Return the connection of a transaction that is under way, and the session whose it is.

    Raises:
        TypeError: it is neither a connection nor a session.
        BusStateError: what is added there would be lost, or be there without the caller's own rows.
    """
    if isinstance(given, Connection):
        _check(given, "Connection")
        if not given.in_transaction():
            raise BusStateError(
                "outbox.add outside of any transaction; begin one: with engine.begin() as connection, or database.transact"
            )
        return given, None
    if type(given).__module__.startswith("sqlalchemy.ext.asyncio"):
        raise TypeError(f"outbox.add({type(given).__name__}): write `await outbox.add_async(...)`")
    # who has a session has loaded this; for all others it would be a part of the start that they do not need
    from sqlalchemy.orm import Session, scoped_session

    session = given() if isinstance(given, scoped_session) else given
    if not isinstance(session, Session):
        raise TypeError(f"outbox.add({type(session).__name__}): give a SQLAlchemy Connection, Session or scoped_session")
    try:
        connection = session.connection()
    except sa.exc.InvalidRequestError as error:
        raise BusStateError(f"outbox.add: the session has no transaction to add to: {error}") from None
    _check(connection, "Session")
    return connection, session


def _check(connection: Connection, kind: str) -> None:
    if connection.closed:
        raise BusStateError(f"outbox.add: the {kind} is closed; add before its transaction ends")
    transaction = connection.get_nested_transaction() or connection.get_transaction()
    if transaction is not None and not transaction.is_active:
        raise BusStateError(
            f"outbox.add: the transaction of the {kind} has ended; add before it is committed or rolled back"
        )
    level = connection.get_execution_options().get("isolation_level")
    if level is None:
        level = getattr(connection.dialect, "_on_connect_isolation_level", None)
    if level == _AUTOCOMMIT:
        raise BusStateError(
            f"outbox.add: the {kind} commits each statement by itself (AUTOCOMMIT), and event and effect could be there one "
            "without the other; give one with transactions"
        )


def insert(connection: Connection, row: dict[str, Any], *, tells: bool, schema: str | None = None) -> None:
    """Insert a row of the outbox where it is not there yet.

    Args:
        tells: relays of other processes hear of it when it is committed, where the database can tell them.
        schema: where the table lies; None for where the connection finds it.

    Raises:
        ConfigurationError: there is no table of the outbox.
    """
    table = outbox if schema is None else _outbox_in(schema)
    try:
        if tells and not is_sqlite(connection):
            insert_and_notify(connection, table, row, NOTIFIED)
        else:
            insert_once(connection, table, [row])
    except (sa.exc.OperationalError, sa.exc.ProgrammingError) as error:
        original = error.orig
        is_missing = getattr(original, "sqlstate", None) == _UNDEFINED_TABLE or "no such table: " in str(original)
        if not is_missing:
            raise
        where = connection.engine.url.render_as_string(hide_password=True)
        raise ConfigurationError(f"{where} has no table {table.fullname}: {HOW}") from None


@cache
def _outbox_in(schema: str) -> sa.Table:
    """Return the table as it lies in a schema; always the same, so that statements are compiled once."""
    return metadata_in(schema).tables[f"{schema}.{outbox.name}"]


class Lookout:
    """Says once, where rows wait for long, that nobody publishes them: a program that only adds would never know.

    Args:
        name: of the outbox, for people.
        after: seconds for which a row may wait.
        schema: where the table lies.
    """

    def __init__(self, name: str, after: float, schema: str | None = None) -> None:
        self._table = outbox if schema is None else _outbox_in(schema)
        self._name = name
        self._after = after
        self._next = 0.0

    def look(self, connection: Connection, now: float) -> None:
        """Look once a minute, by an index, at what waits at `now`, in seconds since 1970."""
        if not self.is_time():
            return
        rows = self._table.c
        since = sa.func.min(sa.func.coalesce(sa.func.nullif(rows.due_at, 0), rows.created_at))
        found = connection.scalar(sa.select(since).where(rows.published_at.is_(None), rows.due_at <= now))
        self.judge(found, now, connection.engine.url.render_as_string(hide_password=True))

    def is_time(self) -> bool:
        """Whether to look again; it is asked with each event."""
        if monotonic() < self._next:
            return False
        self._next = monotonic() + _LOOK_EVERY
        return True

    def judge(self, oldest: float | None, now: float, where: str) -> None:
        """Say it where the oldest row that is due, since `oldest`, waits for too long."""
        if oldest is None or now - oldest <= self._after:
            return
        self._next = math.inf
        log.warning(
            "%s: events in %s wait for %.0f s, and nobody publishes them; run `eventbus relay --database URL` on it, or "
            "attach an Outbox(database) to a bus that runs",
            self._name,
            where,
            now - oldest,
        )
