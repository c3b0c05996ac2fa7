"""Execution: runs handlers in worker greenlets, within their concurrency, and answers what they were given.

Whatever a handler, an observer or an answer raises, the deliveries of the run have their answer afterwards, the run
counts as ended, and what waits for it is woken: each step here is guarded by itself, so that none depends on the one
before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context as ContextVars
from time import monotonic

from gevent import GreenletExit, getcurrent

from eventbus.delivery.acknowledgement import Acknowledger
from eventbus.delivery.flow_control import FlowControl
from eventbus.delivery.interrupts import WorkerKilled
from eventbus.delivery.received import Received
from eventbus.delivery.routes import Route
from eventbus.delivery.running import RunningInvocations
from eventbus.engines.base import Delivery
from eventbus.middleware import RunObserver
from eventbus.runtime.guarded_log import guarded_log
from eventbus.runtime.tracebacks import stack_of

log = guarded_log("eventbus.delivery")


class Executor:
    """Runs the handlers of one topic of one service.

    Args:
        later: has a worker call something soon.
        variables: context variables that each run begins with.
        observers: told of each run that succeeded.
    """

    def __init__(
        self,
        acknowledger: Acknowledger,
        flow: FlowControl,
        later: Callable[[Callable[[], None]], None],
        variables: ContextVars,
        observers: Sequence[RunObserver],
        *,
        may_exceed: bool,
    ) -> None:
        self.running = RunningInvocations()
        self.handled = 0
        """Deliveries finished after their handler returned."""
        self.is_verbose = False
        self.is_abandoned = False
        """Whether this process is a fork: nothing here is its own to answer, and a handler that forked may end it."""
        self._acknowledger = acknowledger
        self._outcomes = acknowledger.observers
        self._flow = flow
        self._later = later
        self._variables = variables
        self._observers = observers
        self._may_exceed = may_exceed

    def begin(self, route: Route, item: Received) -> None:
        """Run the handler now, or let the event wait: for its batch to be full, or for a run to end."""
        if route.batcher is not None:
            # what failed in a batch comes alone, so that one bad event does not take the others with it
            if item.attempt == 1:
                route.batcher.add(item)
            else:
                self._run_or_wait(route, item)
        elif self._may_exceed:
            self._run_or_wait(route, item)
        else:
            self._run(route, (item,))

    def _run_or_wait(self, route: Route, item: Received) -> None:
        if route.running >= route.binding.concurrency:
            route.waiting.append(item)
        else:
            self._run(route, (item,))

    def run_later(self, route: Route, items: Sequence[Received]) -> None:
        """Run the handler in a worker, soon."""

        def run() -> None:
            held = [item for item in items if item.delivery.is_held]  # not those that the engine gave to others meanwhile
            try:
                if held:
                    self._run(route, held)
                elif route.waiting:
                    self.run_later(route, (route.waiting.popleft(),))
            finally:
                self._flow.probe_again()

        self._later(run)

    def _run(self, route: Route, items: Sequence[Received]) -> None:
        me = getcurrent()
        running = self.running.by_greenlet
        running[me] = (items, route, 0.0)
        route.running += 1
        began = monotonic() if self._observers or self._outcomes.wanted else 0.0
        try:
            try:
                self._variables.copy().run(route.call, items)
            finally:
                route.running -= 1
                del running[me]
        except BaseException as error:  # GreenletExit and SystemExit must lose nothing either
            if self.is_abandoned:
                raise
            if self._outcomes.wanted:
                self._outcomes.ran(items, began, monotonic())
            was_killed = self._failed(route, items, error)
            if was_killed or isinstance(error, GreenletExit):
                raise WorkerKilled from None
        else:
            try:
                for item in items:
                    item.delivery.finish()
            except BaseException as error:
                for item in items:
                    self._acknowledger.broken(item.delivery, item.envelope, error)
            self.handled += len(items)
            if self._flow.breaker.is_alert:
                self._flow.succeeded(items[0].envelope)
            if self._observers or self.is_verbose or self._outcomes.wanted:
                self._tell(items, began)
        finally:
            if route.waiting:
                self.run_later(route, (route.waiting.popleft(),))

    def _tell(self, items: Sequence[Received], began: float) -> None:
        ended = monotonic()
        for observe in self._observers:
            try:
                for item in items:
                    observe(item.envelope, began, ended)
            except BaseException as fault:  # an observer's fault is not the delivery's
                told = self._acknowledger.log.tell(fault)
                log.error("%r failed as it observed a run: %s", observe, told, extra={"stack": stack_of(fault)})
        if self.is_verbose:
            for item in items:
                self._acknowledger.log.write(logging.DEBUG, "handled", item.envelope, item.attempt)
        if self._outcomes.wanted:
            self._outcomes.handled(items, began, ended)

    def _failed(self, route: Route, items: Sequence[Received], error: BaseException) -> bool:
        """Answer what a failed run was given; return whether the worker was killed meanwhile.

        A failed batch is one failure of the channel at most.
        """
        binding = route.binding
        if len(items) > 1:
            alone = [item for item in items if self._acknowledger.would_park(binding, item, error)]
            if alone:
                # whose fault it is shows when each comes alone, at once and for no attempt: only then may one be parked
                self._acknowledger.log.write(
                    logging.WARNING,
                    "split",
                    None,
                    items[0].attempt,
                    f"{binding.name} failed on a batch of {len(items)}; its events come again one by one",
                    error,
                )
                route.waiting.extend(alone)
                items = [item for item in items if not self._acknowledger.would_park(binding, item, error)]
        speaks = was_killed = False
        for item in items:
            try:
                speaks = self._acknowledger.failed(binding, item, error) or speaks
            except BaseException as fault:  # the answer itself failed
                self._acknowledger.broken(item.delivery, item.envelope, fault)
                was_killed = was_killed or isinstance(fault, GreenletExit)
        if speaks:
            self._flow.failed(items[0].envelope, is_first=items[0].attempt == 1)
        return was_killed

    def held(self, routes: Mapping[str, Route]) -> list[Delivery]:
        """Return what runs or waits for a run or for its batch."""
        held = [item.delivery for item in self.running.items()]
        for route in routes.values():
            held.extend(item.delivery for item in route.waiting)
            if route.batcher is not None:
                held.extend(item.delivery for item in route.batcher.items)
        return held
