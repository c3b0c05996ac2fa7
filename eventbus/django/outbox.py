"""Outbox: an event becomes a row through Django's own connection, inside `transaction.atomic()`."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from time import time
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, OperationalError, ProgrammingError, connections, transaction

from eventbus.errors import BusStateError, ConfigurationError
from eventbus.event import Event
from eventbus.settings import BusSettings
from eventbus.sql.adding import NOTIFIED, Lookout, Unattached, row_of

_INSERT = """INSERT INTO eventbus_outbox
(event_id, topic, type, body, created_at, due_at, expires_at, wants_receipts, leased_until, attempts, refusals) VALUES
(%(event_id)s, %(topic)s, %(type)s, %(body)s, %(created_at)s, %(due_at)s, %(expires_at)s, %(wants_receipts)s, 0, 0, 0)
ON CONFLICT DO NOTHING"""
_TELL = f" RETURNING pg_notify('{NOTIFIED}', '')"
_OLDEST = (
    "SELECT min(coalesce(nullif(due_at, 0), created_at)) FROM eventbus_outbox WHERE published_at IS NULL AND due_at <= %s"
)


class Outbox:
    """The events of one Django project on their way out of its databases; safe in several threads.

    Args:
        source: name of the publishing service; the setting or variable EVENTBUS_SOURCE, or the project's name, unless given.
        receipts: whether relays wait for the receipts of subscribers.
        warn_after: seconds for which rows may wait before the log says that nobody publishes.

    Raises:
        ConfigurationError: a variable of the environment is wrong.
    """

    def __init__(self, source: str | None = None, *, receipts: bool = True, warn_after: float = 60.0) -> None:
        named = source or getattr(settings, "EVENTBUS_SOURCE", None) or BusSettings.from_environment().source
        self.source = named or getattr(settings, "ROOT_URLCONF", "django").partition(".")[0]
        self._made = Unattached(self.source)
        self._receipts = receipts
        self._lookouts = cache(lambda alias: Lookout(f"<Outbox of {self.source} in database {alias!r}>", warn_after))

    def add(self, event: Event, *, using: str = DEFAULT_DB_ALIAS, **options: Any) -> str:
        """Add `event` to the transaction under way and return its id; a relay publishes it after the commit.

        Args:
            using: alias of the database.
            options: delay, deliver_at, expires_in, subject, as of `Bus.publish`.

        Raises:
            EncodeError, MessageTooLargeError: it could never be sent; nothing was added.
            BusStateError: there is no transaction.
            ConfigurationError: the database has no table of the outbox, or is of another kind.
        """
        connection = connections[using]
        if connection.vendor not in ("sqlite", "postgresql"):
            raise ConfigurationError(f"outbox.add: database {using!r} is {connection.vendor}; give sqlite or postgresql")
        if not connection.in_atomic_block:
            raise BusStateError(
                f"outbox.add outside of transaction.atomic(using={using!r}): event and effect could be there one without "
                "the other; add inside, or use publish_on_commit"
            )
        now = time()
        row = row_of(self._made, event, now=now, wants_receipts=self._receipts, **options)
        tell = _TELL if connection.vendor == "postgresql" else ""  # relays, of the commit, in the same statement
        try:
            with connection.cursor() as cursor:
                cursor.execute(_INSERT + tell, row)
                if self._lookouts(using).is_time():
                    cursor.execute(_OLDEST, [now])
                    self._lookouts(using).judge(cursor.fetchone()[0], now, f"database {using!r}")
        except (OperationalError, ProgrammingError) as error:
            if getattr(error.__cause__, "sqlstate", None) != "42P01" and "no such table: " not in str(error):
                raise
            raise ConfigurationError(
                f"database {using!r} has no table eventbus_outbox: have 'eventbus.django' among INSTALLED_APPS and run "
                f"`manage.py migrate eventbus --database {using}`"
            ) from None
        return str(row["event_id"])


@cache
def _default() -> Outbox:
    return Outbox()


def publish_on_commit(event: Event, *, using: str = DEFAULT_DB_ALIAS, **options: Any) -> str:
    """Publish `event` if and when the transaction under way commits, or where there is none, soon; return its id.

    It is a row of that transaction and no callback after it: a process that dies in between loses nothing.

    Raises:
        As `Outbox.add`.
    """
    # no inner block where there is one: an event that is refused must not break the caller's transaction
    with nullcontext() if connections[using].in_atomic_block else transaction.atomic(using):
        return _default().add(event, using=using, **options)
