"""Requests: what greenlets want of the database, and how they wait for the round that does it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, cast

from eventbus.engines.sql.rounds import Append, Chore, Round
from eventbus.engines.sql.session import Session, Trouble
from eventbus.errors import BrokerUnreachableError, NotSent, OutcomeUnknown, PublishError, Rejected
from eventbus.runtime.guarded_log import guarded_log

T = TypeVar("T")

log = guarded_log("eventbus.sql_engine")


class Requests:
    """The queues of one store.

    Args:
        name: of the database, for messages.
        kick: called when something waits; raises where nobody will do it.

    Attributes:
        trouble: what the last round failed of; empty where it did not.
    """

    def __init__(self, name: str, kick: Callable[[], None]) -> None:
        self.appends: deque[Append] = deque()
        self.chores: deque[Chore] = deque()
        self.trouble = ""
        self._name = name
        self._kick = kick

    def wait(self, appends: list[Append], timeout: float) -> None:
        """Return once all of these, which are in the queue, are committed.

        Raises:
            Rejected, NotSent, OutcomeUnknown: what is known of the first that is not.
        """
        deadline = time.monotonic() + timeout
        try:
            for each in appends:
                if not each.ticket.ready():
                    each.ticket.wait(timeout=max(deadline - time.monotonic(), 0.0))
                if not each.ticket.ready():
                    raise self._unknown(timeout) if each.is_taken else self._not_sent(timeout)
                each.ticket.get(block=False)
        finally:
            for each in appends:
                each.is_dropped = True

    def _unknown(self, timeout: float) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"{self._name}: no commit for {timeout:g} s, and it is under way; publish the same event again"
        )

    def _not_sent(self, timeout: float) -> NotSent:
        why = self.trouble or f"{self._name} took nothing"
        return NotSent(f"{why}, for {timeout:g} s; nothing was written, publish again later")

    def are_durable(self) -> bool:
        """Whether something waits that must be on the disk."""
        return any(not each.is_dropped for each in self.appends) or any(each.durable for each in self.chores)

    def ask(self, work: Callable[[Session], T], *, durable: bool = False, timeout: float = 10.0) -> T:
        """Return what `work` returns, committed in some round.

        Raises:
            BrokerUnreachableError: the database did not take it.
        """
        chore = Chore(work, durable)
        self.chores.append(chore)
        self._kick()
        try:
            chore.ticket.wait(timeout=timeout)
            if not chore.ticket.ready():
                raise BrokerUnreachableError(f"{self.trouble or self._name}: no answer for {timeout:g} s")
            result: Any = chore.ticket.get(block=False)
        except PublishError as error:
            raise BrokerUnreachableError(str(error)) from None
        finally:
            chore.is_dropped = True
        return cast("T", result)

    def tell(self, work: Callable[[Session], object]) -> None:
        """Have `work` done in some round; nobody waits."""
        self.chores.append(Chore(work, durable=False))
        self._kick()

    def settled(self, timeout: float) -> None:
        """Return when what is under way is done and what was answered is written; where that fails, it is only logged."""
        try:
            self.ask(_nothing, timeout=timeout)
        except BrokerUnreachableError as error:
            log.warning("%s", error)

    def give_all_to(self, made: Round) -> None:
        """Empty the queues into a round that failed before it began."""
        made.collect(self.appends, 1 << 62, float("inf"))
        made.chores.extend(self.chores)
        self.chores.clear()

    def fail(self, why: str) -> None:
        """Tell all who wait that nobody will do it."""
        left = Round()
        self.give_all_to(left)
        left.fail(NotSent(f"{why}; nothing was written, publish again on another bus"))

    def take_back(self, made: Round) -> None:
        """Have what a round took out of the queues done by another one."""
        for append in reversed(made.appends):
            append.is_taken = False
            self.appends.appendleft(append)
        self.chores.extendleft(reversed(made.chores))

    def __bool__(self) -> bool:
        return bool(self.appends or self.chores)


def _nothing(session: Session) -> None:
    pass


def as_error(error: Trouble) -> PublishError:
    """Return what a publisher is told of a failed transaction."""
    if error.kind == "unknown":
        return OutcomeUnknown(f"{error}; it may be committed, publish the same event again")
    if error.kind == "readonly":
        return Rejected(f"{error}; give this user the right to write")
    return NotSent(f"{error}; nothing was written, publish again later")
