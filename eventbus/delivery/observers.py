"""Observers: count what became of deliveries, and tell middleware that wants to know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from eventbus.delivery.outcome_log import OutcomeLog
from eventbus.delivery.received import Received, Source
from eventbus.engines.base import Delivery
from eventbus.middleware import Middleware, Outcome
from eventbus.runtime.guarded_log import guarded_log
from eventbus.runtime.tracebacks import stack_of
from eventbus.wire.envelope import Envelope

log = guarded_log("eventbus.delivery")


class Observers:
    """Those of one dispatcher.

    Attributes:
        counts: deliveries by outcome, without those that were handled, which are counted where they are run.
        wanted: whether anybody wants to be told.
    """

    def __init__(self, middleware: Sequence[Middleware], source: Source, outcome_log: OutcomeLog) -> None:
        self.counts: Counter[Outcome] = Counter()
        self.wanted = False
        self._middleware = middleware
        self._source = source
        self._log = outcome_log
        self._observers: list[Middleware] = []
        self._runs: dict[int, tuple[float, float]] = {}
        """Instants of the runs whose deliveries have no answer yet, by the delivery's `id()`."""
        self.ask()

    def ask(self) -> None:
        """Ask each middleware whether it wants to be told."""
        self._observers = [each for each in self._middleware if each.wants("settled")]
        self.wanted = bool(self._observers)
        self._runs.clear()

    def ran(self, items: Iterable[Received], began: float, ended: float) -> None:
        """Note the monotonic instants of a run that failed, for those who are told of its deliveries' outcome."""
        self._runs.update((id(item.delivery), (began, ended)) for item in items)

    def handled(self, items: Iterable[Received], began: float, ended: float) -> None:
        """Tell of deliveries whose handler returned, with the monotonic instants of their run."""
        for item in items:
            envelope, context = item.envelope, None
            is_plain = item.attempt == 1 and envelope.replay_for is None
            for observer in self._observers:
                try:
                    if is_plain and observer.passes_over(envelope):
                        continue
                    if context is None:
                        context = self._source.make_context(envelope, item.delivery, item.attempt)
                        context.run = began, ended
                    observer.settled(Outcome.HANDLED, context, None)
                except BaseException as fault:  # an observer's fault is not the delivery's
                    self._complain(observer, fault)

    def forget(self, delivery: Delivery) -> None:
        """Forget the run of a delivery that has no outcome."""
        self._runs.pop(id(delivery), None)

    def settled(
        self,
        outcome: Outcome,
        envelope: Envelope | None,
        delivery: Delivery,
        error: BaseException | None = None,
        *,
        attempt: int | None = None,
        again: float | None = None,
    ) -> None:
        """Count an outcome of a delivery that was not handled, and tell of it.

        Args:
            attempt: number of the run; what the engine counts unless given.
            again: seconds after which the delivery comes again.
        """
        self.counts[outcome] += 1
        if not self.wanted:
            return
        seen = envelope or Envelope("", "", "", "", None)
        context = self._source.make_context(seen, delivery, delivery.attempts if attempt is None else attempt)
        context.run, context.again = self._runs.pop(id(delivery), None), again
        for observer in self._observers:
            try:
                observer.settled(outcome, context, error)
            except BaseException as fault:  # an observer's fault is not the delivery's
                self._complain(observer, fault)

    def _complain(self, observer: Middleware, fault: BaseException) -> None:
        told = self._log.tell(fault)
        log.error("middleware %r failed in settled(): %s", observer, told, extra={"stack": stack_of(fault)})
