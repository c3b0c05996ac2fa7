"""Inbox: an event has its effect once, however often it is delivered.

The claim (channel, topic, source, id) is a row written in the same transaction as the handler's own rows. A redelivered
event finds the claim and is finished without running the handler; a handler that fails takes its claim back with
everything else. What the handler returns goes through the outbox, in the same transaction again: at no moment is only a
part true.

A database that is away, or in whose way something is, says nothing about an event: such a delivery comes again and costs
no attempt, however long it lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import Connection

from eventbus.context import Context
from eventbus.delivery.interrupts import Interrupt, StopInterrupt
from eventbus.errors import ConfigurationError, InboxUnavailableError
from eventbus.event import Event
from eventbus.runtime.failpoints import hit
from eventbus.runtime.guarded_log import guarded_log
from eventbus.sql.claims import claim, give_up, has_old, unclaimed
from eventbus.sql.database import Database
from eventbus.sql.drivers import is_conflict, sqlstate
from eventbus.sql.messenger import Messenger
from eventbus.sql.outbox import Outbox
from eventbus.sql.parked import Parked
from eventbus.sql.rehearsing import take_back
from eventbus.sql.sql_context import SqlContext
from eventbus.sql.unit import UnitEndedError, whole
from eventbus.sql.unit_session import UnitSessions

if TYPE_CHECKING:
    from eventbus.bus import Bus

log = guarded_log("eventbus.sql")

Run = Callable[[Sequence[int], Sequence[Context]], Sequence[Event]]
_AT_ONCE_AGAIN = 3
"""Tries of a unit of work that was in another's way."""
_LONGEST_PAUSE = 15.0


class Inbox:
    """Runs handlers in transactions that also claim the event: `@service.on(OrderPlaced, inbox=inbox)`.

    Args:
        database: where the handlers' own tables lie too.
        outbox: takes what handlers return or publish; needed if they do.
        keep: seconds for which claims are kept. A double that comes later has its effect again.
        poll: seconds between two looks for receipts that other processes left.
    """

    def __init__(
        self, database: Database, *, outbox: Outbox | None = None, keep: float = 30 * 86400.0, poll: float = 1.0
    ) -> None:
        if keep <= 0 or not 0 < poll <= 60:
            raise ConfigurationError(f"Inbox(keep={keep!r}, poll={poll!r}): give keep above 0 s, and 0 < poll <= 60 s")
        if outbox is not None and outbox.database is not database:
            raise ConfigurationError("Inbox and its outbox must share one Database: they share the transaction")
        self.database = database
        self.keep = keep
        self.poll = poll
        self.doubles = 0
        """Deliveries that found their event claimed."""
        self.mismatches = 0
        """Doubles whose data differ from those of the event that was claimed."""
        self.bindings: set[tuple[str, str, str]] = set()
        """Topic, type name and channel of each handler that was started and runs through this inbox."""
        self._outbox = outbox
        self._messenger: Messenger | None = None
        self._parked: Parked | None = None
        self._time: Callable[[], float] | None = None
        self._looks_back = False
        self._away_since: float | None = None

    def __repr__(self) -> str:
        return f"<Inbox in {self.database!r}>"

    @property
    def outbox(self) -> Outbox | None:
        """What handlers publish through."""
        return self._outbox

    @property
    def context_type(self) -> type[SqlContext]:
        return SqlContext

    # -- handling ---------------------------------------------------------------------------------------------------

    def handle(self, contexts: Sequence[Context], run: Run) -> None:
        """Run a handler on the events that had no effect yet; see the module's docstring."""
        for again in range(_AT_ONCE_AGAIN):
            unit = _Unit(self, contexts, run)
            try:
                self.database.transact(unit.work)
                hit("after_commit_before_finish")
            except BaseException as error:
                if is_conflict(error) and again + 1 < _AT_ONCE_AGAIN:
                    continue
                self._judge(unit, error)
                raise
            self._away_since = None
            return

    def rehearse(self, contexts: Sequence[Context], run: Run) -> None:
        """Run a handler as `handle` does, with its effects, and take everything back: claim, effects, what it published.

        Raises:
            Whatever the handler raised, or the database, constraints included that are looked at only by a commit.
        """
        take_back(self, contexts, run)

    def _judge(self, unit: _Unit, error: BaseException) -> None:
        """Raise InboxUnavailableError where what went wrong was neither the event's nor the handler's doing."""
        if isinstance(error, UnitEndedError):
            self.database.transact(lambda connection: give_up(connection, unit.contexts, unit.now))
        if isinstance(error, StopInterrupt) or not isinstance(error, Exception | Interrupt):
            return
        if isinstance(error, sa.exc.IntegrityError | sa.exc.DataError | UnitEndedError):
            return  # also at the commit, where constraints are looked at that were put off until then
        if unit.is_handler_at_fault and not (isinstance(error, Exception) and self.database.is_away(error)):
            return
        code = sqlstate(error)
        what = f"{type(error).__name__}{f' {code}' if code else ''}"
        raise InboxUnavailableError(f"{self!r} could not claim or commit ({what})", after=self._pause()) from error

    def _pause(self) -> float:
        now = self.time()
        if self._away_since is None:
            self._away_since = now
        return min(max((now - self._away_since) / 2, 1.0), _LONGEST_PAUSE)

    def time(self) -> float:
        """Return the seconds since 1970, by the bus's clock."""
        assert self._time is not None, "started with the bus"
        return self._time()

    def claim(self, connection: Connection, contexts: Sequence[Context], now: float) -> tuple[list[Context], list[int]]:
        """Claim the events; return those that have their effect now or had it, and where the handler is to run.

        What is a dead letter here, and comes again because its receipt was lost, is neither.
        """
        open_ones = [position for position, context in enumerate(contexts) if not Parked.holds(connection, context)]
        handled = [contexts[position] for position in open_ones]
        fresh, odd = claim(connection, handled, now, look_back=self._looks_back)
        self.doubles += len(contexts) - len(fresh)
        self.mismatches += len(odd)
        for position in odd:
            log.warning(
                "%r: it has the id of an event that was handled, and other data; passed over as a double", handled[position]
            )
        return handled, [open_ones[position] for position in fresh]

    def unclaimed(self, contexts: Sequence[Context]) -> list[int]:
        """Return where in `contexts` the events are that had no effect yet; a look that claims nothing.

        Raises:
            InboxUnavailableError: the database is away, or something is in its way.
        """

        def look(connection: Connection) -> list[int]:
            open_ones = [position for position, context in enumerate(contexts) if not Parked.holds(connection, context)]
            found = unclaimed(connection, [contexts[each] for each in open_ones], look_back=self._looks_back)
            return [open_ones[each] for each in found]

        try:
            return self.database.read(look)
        except BaseException as error:
            self._judge(_Unit(self, contexts, lambda positions, mine: ()), error)
            raise

    def context_of(self, context: Context, connection: Connection, sessions: UnitSessions) -> SqlContext:
        """Return what the handler is given."""
        return SqlContext.of(context, connection, self._outbox, sessions)

    def settle(self, connection: Connection, contexts: Sequence[Context], handled: Sequence[Context]) -> None:
        """Note the receipts, also for doubles: that one came again means that the origin does not know."""
        assert self._messenger is not None, "started with the bus"
        self._messenger.add(connection, contexts)
        for context in handled:
            if context.envelope.replay_for is not None:
                Parked.release(connection, context)

    # -- what is not handled ----------------------------------------------------------------------------------------

    def answered(self, context: Context) -> None:
        """Tell the origin that an event needs nothing here."""
        if self._messenger is not None:
            self._messenger.note(context)

    def park(self, context: Context, letter: bytes) -> None:
        """Keep a dead letter in this database, with the receipt for its event, and bring it to the broker."""
        parked, messenger = self._parked, self._messenger
        assert parked is not None, "started with the bus"
        assert messenger is not None

        def work(connection: Connection) -> None:
            parked.keep(connection, context, letter)
            messenger.add(connection, [context])

        try:
            self.database.transact(work)
        except Exception as error:
            message = f"{self!r} could not keep a dead letter ({type(error).__name__})"
            raise InboxUnavailableError(message, after=self._pause()) from error
        hit("after_park_before_receipt")

    # -- as an attachment -------------------------------------------------------------------------------------------

    def bind(self, topic: str, type_name: str, channel: str) -> None:
        """Learn that a handler which runs through this inbox is started, and tell the origin of its events."""
        self.bindings.add((topic, type_name, channel))
        if self._messenger is not None:
            self._messenger.wake()

    def start(self, bus: Bus) -> None:
        """Introduce the channels to the origins of their events, and begin to send receipts."""
        self.database.check_tables()
        self._time = bus.engine.clock.time
        self._looks_back = self.database.read(has_old)
        if self._outbox is not None:
            bus.attach(self._outbox)
        self._messenger = Messenger(repr(self), self.database, bus, bindings=self.bindings, poll=self.poll, keep=self.keep)
        self._parked = Parked(repr(self), self.database, bus, poll=self.poll)

    def ping(self) -> None:
        """Return if the database answers; raise DatabaseUnreachableError if it does not."""
        self.database.ping()

    def stop_intake(self) -> None:
        """The bus itself stops the deliveries."""

    def stop(self, timeout: float) -> None:
        """Send the receipts and dead letters that are due."""
        if self._messenger is not None and self._parked is not None:
            self._messenger.stop(timeout)
            self._parked.stop(timeout)
            self._messenger = self._parked = None

    def abandon(self) -> None:
        """In a forked child: send nothing. Its database refuses what else is tried."""
        for part in (self._messenger, self._parked):
            if part is not None:
                part.abandon()
        self._messenger = self._parked = None

    def is_idle(self) -> bool:
        return self._messenger is None or self._parked is None or (self._messenger.is_idle() and self._parked.is_idle())


class _Unit:
    """One unit of work: claim, effect, what is published, and receipts."""

    def __init__(self, inbox: Inbox, contexts: Sequence[Context], run: Run) -> None:
        self.contexts = contexts
        self.now = inbox.time()
        self.is_handler_at_fault = False
        self._inbox = inbox
        self._run = run

    def work(self, connection: Connection) -> None:
        """Do it in a transaction."""
        inbox = self._inbox
        handled, fresh = inbox.claim(connection, self.contexts, self.now)
        hit("after_claim")
        if fresh:
            sessions = UnitSessions(connection)
            mine = [inbox.context_of(self.contexts[position], connection, sessions) for position in fresh]
            self.is_handler_at_fault = True
            try:
                with whole(connection):
                    for event in self._run(fresh, mine):
                        mine[0].publish(event)
                    sessions.write()
            except Exception as error:
                # what the connection's loss makes of an error is no word about the handler
                self.is_handler_at_fault = not (connection.invalidated or inbox.database.is_away(error))
                raise
            finally:
                sessions.close()
            self.is_handler_at_fault = False
        inbox.settle(connection, self.contexts, handled)
        hit("before_commit")
