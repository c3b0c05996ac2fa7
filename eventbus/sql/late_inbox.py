"""Late inbox: for handlers whose effect lies outside of the database, as a mail or a question to another service.

Such a handler must not run inside a transaction: for as long as somebody else takes to answer, the transaction would hold
its connection, its locks and all that the database cannot clean up, and a database that fails afterwards would take back a
claim although the mail is on its way. So the handler runs first, with nothing open, and what it returns goes out in one
short transaction with the claim and the receipt.

What this cannot give is an effect that happens once, for a mail server takes part in no transaction. The handler has to see
to it by a record of its own: claim it, commit; have the effect; note it, commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from eventbus.context import Context
from eventbus.errors import HandlerResultError, RetryLater
from eventbus.event import Event
from eventbus.sql.inbox import Inbox
from eventbus.sql.sql_context import SqlContext


class LateContext(SqlContext):
    """The context of a handler that runs before its transaction: without a connection, and it returns what is to be sent."""

    __slots__ = ()

    @property
    def connection(self) -> NoReturn:  # type: ignore[override]
        """There is none.

        Raises:
            HandlerResultError: always.
        """
        raise self._without()

    def _without(self) -> HandlerResultError:
        return HandlerResultError(
            f"{self.service}: a LateInbox runs its handlers outside of a transaction; open one of your own"
        )

    @property
    def session(self) -> NoReturn:
        """There is none.

        Raises:
            HandlerResultError: always.
        """
        raise self._without()

    def publish(self, event: Event, **options: Any) -> NoReturn:
        """Refused: it would go out before the claim.

        Raises:
            HandlerResultError: always.
        """
        raise HandlerResultError(f"{self.service}: a handler of a LateInbox returns what is to be published")


class LateInbox(Inbox):
    """An inbox that runs its handlers before the transaction with the claim; see the module's docstring.

    `@service.on(MailPrepared, inbox=LateInbox(database, outbox=outbox))`; the handler takes `(event)` or
    `(event, context: LateContext)`. Two deliveries of one event at a time may both run it.
    """

    @property
    def context_type(self) -> type[LateContext]:
        """What its handlers are given."""
        return LateContext

    def rehearse(
        self, contexts: Sequence[Context], run: Callable[[Sequence[int], Sequence[Context]], Sequence[Event]]
    ) -> None:
        """Run a handler that looks at `context.is_dry_run`; there is no transaction to take back."""
        for event in run(range(len(contexts)), [_late(each) for each in contexts]):
            assert contexts[0].captured is not None
            contexts[0].captured.append(event)

    def handle(
        self, contexts: Sequence[Context], run: Callable[[Sequence[int], Sequence[Context]], Sequence[Event]]
    ) -> None:
        """Run a handler on the events that are not claimed, then claim them and publish what it returned."""
        fresh = self.unclaimed(contexts)
        results = run(fresh, [_late(contexts[position]) for position in fresh]) if fresh else ()

        def publish(positions: Sequence[int], _: Sequence[Context]) -> Sequence[Event]:
            if list(positions) != fresh:  # of a batch, some had their effect elsewhere meanwhile
                raise RetryLater(after=1.0)
            return results

        super().handle(contexts, publish)


def _late(context: Context) -> LateContext:
    mine = LateContext.__new__(LateContext)
    for name in Context.__slots__:
        setattr(mine, name, getattr(context, name))
    return mine
