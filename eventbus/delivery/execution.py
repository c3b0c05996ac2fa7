"""Execution: runs handlers in worker greenlets, within their concurrency, and answers what they were given."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context as ContextVars
from time import monotonic

from gevent import getcurrent

from eventbus.delivery.acknowledgement import Acknowledger
from eventbus.delivery.flow_control import FlowControl
from eventbus.delivery.received import Received
from eventbus.delivery.routes import Route
from eventbus.delivery.running import RunningInvocations
from eventbus.engines.base import Delivery
from eventbus.middleware import Outcome, RunObserver


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
        self._acknowledger = acknowledger
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
            self._run(route, items)
            self._flow.probe_again()

        self._later(run)

    def _run(self, route: Route, items: Sequence[Received]) -> None:
        me = getcurrent()
        running = self.running.by_greenlet
        running[me] = (items, route, 0.0)
        route.running += 1
        observers = self._observers
        began = monotonic() if observers else 0.0
        try:
            try:
                self._variables.copy().run(route.call, items)
            finally:
                route.running -= 1
                del running[me]
        except BaseException as error:  # GreenletExit and SystemExit must lose nothing either
            for item in items:
                if self._acknowledger.failed(route.binding, item, error):
                    self._flow.failed()
        else:
            for item in items:
                item.delivery.finish()
            self.handled += len(items)
            if observers:
                ended = monotonic()
                for observe in observers:
                    for item in items:
                        observe(item.envelope, began, ended)
            if self._flow.breaker.failures:
                self._flow.succeeded()
            if self.is_verbose:
                for item in items:
                    self._acknowledger.log.write(logging.DEBUG, "handled", item.envelope, item.attempt)
            if self._acknowledger.observers:
                for item in items:
                    self._acknowledger.settled(Outcome.HANDLED, item.envelope, item.delivery)
        if route.waiting:
            self.run_later(route, (route.waiting.popleft(),))

    def held(self, routes: Mapping[str, Route]) -> list[Delivery]:
        """Return what runs or waits for a run or for its batch."""
        held = [item.delivery for item in self.running.items()]
        for route in routes.values():
            held.extend(item.delivery for item in route.waiting)
            if route.batcher is not None:
                held.extend(item.delivery for item in route.batcher.items)
        return held
