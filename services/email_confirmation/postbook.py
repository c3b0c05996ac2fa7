"""Post book: which mails are being sent and which were, so that each is sent once whatever dies in between.

Claim, commit; send; note, commit. A mail whose worker died between the server's yes and the note may be there twice, as with
every mail server: it has the same Message-ID then, and it is tried a bounded number of times.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.sql import Database
from eventbus.sql.statements import insert_once
from services.email_confirmation.tables import claims, mails

LEASE = 120.0
"""Seconds for which a worker has a mail to itself."""
TIME_LIMIT = 110.0
"""Seconds that a sending handler may run: the mail server's word and the note after it, and less than its claim."""
PATIENCE = 45.0
"""Seconds for which a note is tried again while the database is away: without it the mail would go out twice."""
MOST_TIMES = 5
_REMEMBERED = 1000


class BeingSentError(Exception):
    """Raised when another worker has the mail.

    Attributes:
        seconds: after them its claim ends.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"another worker sends it, for {seconds:.0f} s at most")
        self.seconds = seconds


class GivenUpError(Exception):
    """Raised when a mail may have gone out so many times that it is not sent again."""


class PostBook:
    """The record of mails, in the service's database; each call is a transaction of its own."""

    def __init__(self, database: Database, time: Callable[[], float]) -> None:
        self._database = database
        self._time = time
        self._unnoted: OrderedDict[str, None] = OrderedDict()

    def claim(self, key: str) -> bool:
        """Return whether the mail is to be sent now; False where it was.

        Raises:
            BeingSentError: another worker has it.
            GivenUpError: it may have gone out too many times.
        """
        if key in self._unnoted:  # it went out here, and the note failed
            return False
        now = self._time()

        def work(connection: Connection) -> bool:
            if connection.scalar(sa.select(mails.c.event_id).where(mails.c.event_id == key)) is not None:
                return False
            if insert_once(connection, claims, [{"event_id": key, "until": now + LEASE, "times": 1}]):
                return True
            mine = claims.c.event_id == key
            row = connection.execute(sa.select(claims).where(mine).with_for_update()).one_or_none()
            if row is None:  # noted meanwhile
                return False
            if now < row.until <= now + LEASE:  # a longer one is of a clock that was wrong
                raise BeingSentError(row.until - now)
            if row.times >= MOST_TIMES:
                raise GivenUpError(f"sent {row.times} times without a word about how it ended")
            connection.execute(sa.update(claims).where(mine).values(until=now + LEASE, times=row.times + 1))
            return True

        return self._database.transact(work)

    def release(self, key: str) -> None:
        """Give a mail back that was surely not sent."""
        mine = claims.c.event_id == key
        change = sa.update(claims).where(mine).values(until=0.0, times=claims.c.times - 1)
        self._database.transact(lambda connection: connection.execute(change))

    def note(self, key: str, *, kind: str, order_id: UUID, by: str) -> None:
        """Note that a mail was sent; waits while the database is away, see `PATIENCE`."""
        row = {"event_id": key, "kind": kind, "order_id": order_id, "sent_at": self._time(), "sent_by": by[-64:]}
        self._unnoted[key] = None
        while len(self._unnoted) > _REMEMBERED:
            self._unnoted.popitem(last=False)

        def work(connection: Connection) -> None:
            insert_once(connection, mails, [row])
            connection.execute(sa.delete(claims).where(claims.c.event_id == key))

        self._database.transact(work, patience=PATIENCE)
        self._unnoted.pop(key, None)


def key_of(source: str, event_id: str, *, own: str) -> str:
    """Return what a mail is known by: the id of its job, or where a stranger made it, a digest that fits the column."""
    if source == own and len(event_id) <= 64:
        return event_id
    return hashlib.sha256(f"{source} {event_id}".encode()).hexdigest()
