"""Checks of the databases in which outboxes and inboxes keep their tables: reachable, of this version, keeping up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eventbus.doctor.findings import Finding, fault, ok, warning
from eventbus.errors import ConfigurationError, DatabaseUnreachableError
from eventbus.service import Service

CHECK = "database"
_OLD = 60.0
"""Seconds for which a row that is due may wait before something holds it up."""


def check_databases(services: Sequence[Service], others: Sequence[Any] = ()) -> Iterator[Finding]:
    """Yield what is to be said of the databases of the services' outboxes and inboxes, and of other outboxes. Only reads."""
    parts: list[Any] = [*others, *(each for service in services for each in service.attachments)]
    parts += [each.outbox for each in parts if getattr(each, "outbox", None) is not None]
    outboxes: dict[int, tuple[Any, dict[int, Any]]] = {}
    for part in parts:
        database = getattr(part, "database", None)
        if database is not None and hasattr(database, "check_tables"):
            _, mine = outboxes.setdefault(id(database), (database, {}))
            if hasattr(part, "backlog"):
                mine[id(part)] = part
    for database, mine in outboxes.values():
        yield from _check(database, list(mine.values()))


def _check(database: Any, outboxes: Sequence[Any]) -> Iterator[Finding]:
    url = database.engine.url
    shown = url.render_as_string(hide_password=True)
    make = f"eventbus outbox tables --create --database {shown}"
    if database.is_sqlite and url.database not in (None, "", ":memory:") and not Path(url.database).exists():
        yield fault(CHECK, f"{shown}: there is no such file", f"{make}; or start the service, if it makes its tables")
        return
    try:
        database.ping()
        database.check_tables()
    except DatabaseUnreachableError as error:
        yield fault(CHECK, str(error), "start the database, or correct its URL; services wait for it meanwhile")
        return
    except ConfigurationError as error:
        yield fault(CHECK, str(error), make)
        return
    if not outboxes:
        yield ok(CHECK, f"{shown} answers, and its tables are of this version")
    for outbox in outboxes[:1]:  # all outboxes in a database share one table
        found = outbox.backlog()
        figures = f"{found.waiting} rows wait, {found.delayed} are delayed, {found.unsettled} wait for receipts"
        if found.refused:
            yield warning(
                CHECK,
                f"{shown}: the broker refused {found.refused} rows; they are tried again",
                "eventbus outbox list --refused says why; eventbus outbox drop removes rows",
            )
        if found.oldest > _OLD and not found.is_taken:
            yield warning(
                CHECK,
                f"{shown} has no relay: {figures}, none was ever taken, and the oldest is due for {found.oldest:.0f} s",
                f"eventbus relay --database {shown}; or start the service whose bus has an Outbox on it",
            )
        elif found.oldest > _OLD:
            yield warning(
                CHECK,
                f"{shown}: {figures}; the oldest is due for {found.oldest:.0f} s",
                "is a process with this outbox running, and does its broker answer? eventbus outbox list",
            )
        else:
            yield ok(CHECK, f"{shown} answers; {figures}")
