"""Dispatch: from delivered bytes to a handler's run, and from its outcome to the answer.

One dispatcher serves one topic of one service. It decodes, picks the handler by the event's type name, runs it in a worker
greenlet within its time limit, and answers the delivery exactly once: finish, requeue, or park and then finish. Nothing that
goes wrong here, in a handler or below, leaves a delivery unanswered or finishes one that was not handled.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from contextvars import Context as ContextVars
from time import monotonic
from typing import TYPE_CHECKING

from gevent import getcurrent
from pydantic import ValidationError

from eventbus.answers import AFTER_FAILED_PARKING, Answers
from eventbus.codec import Limits, decode
from eventbus.context import Context
from eventbus.engines.base import Delivery, Subscription
from eventbus.envelope import Envelope
from eventbus.errors import DecodeError
from eventbus.jobs import Job
from eventbus.middleware import Outcome
from eventbus.routes import Route, first_fault
from eventbus.runs import Runs
from eventbus.service import Service
from eventbus.valve import Valve
from eventbus.workers import Workers

if TYPE_CHECKING:
    from eventbus.bus import Bus

log = logging.getLogger("eventbus.dispatch")


class Dispatcher:
    """Serves one topic of one service; see the module's docstring."""

    def __init__(self, bus: Bus, service: Service, topic: str, context: ContextVars) -> None:
        self.bus = bus
        self.service = service
        self.topic = topic
        self.channel = service.channel
        self.unknown_fields = 0
        self.runs = Runs()
        self.running = self.runs.by_greenlet
        self.subscription: Subscription | None = None
        self.is_stopping = False
        self._held_back: list[Delivery] = []
        self._is_verbose = False
        self._handled = 0
        self._engine = bus.engine
        self._limits = Limits(max_bytes=bus.engine.max_message_bytes)
        self._variables = context
        self._answers = Answers(self, topic, bus.middleware)
        watches = [each.watch(service.name, topic, self.channel) for each in bus.middleware if each.wants("watch")]
        self._watchers = [watch for watch in watches if watch is not None]
        bindings = [binding for binding in service.bindings if binding.topic == topic]
        clock = bus.engine.clock
        self._routes = {
            binding.type_name: Route(binding, service.name, bus.middleware, clock, self._run_later) for binding in bindings
        }
        concurrency = sum(binding.concurrency for binding in bindings)
        self._may_exceed = len(bindings) > 1
        # room for the running ones and as many waiting, so that no worker waits for the network
        self.max_in_flight = service.max_in_flight or max(bus.max_in_flight, 2 * concurrency)
        self.valve = Valve(service.backoff, clock, f"{topic}/{self.channel}", self.max_in_flight)
        self.workers = Workers(self._work, concurrency, self.valve.backoff)
        self.valve.control(self.workers)

    # -- set-up ---------------------------------------------------------------------------------------------------

    def subscribe(self) -> None:
        """Join the channel; deliveries come from now on."""
        self.subscription = self._engine.subscribe(
            self.topic,
            self.channel,
            self.receive,
            max_in_flight=self.max_in_flight,
            message_timeout=self.bus.message_timeout,
        )
        self.valve.open(self.subscription)

    def make_context(self, envelope: Envelope, delivery: Delivery, attempt: int) -> Context:
        return Context(
            envelope,
            delivery,
            self.bus,
            service=self.service.name,
            instance=self.service.instance,
            topic=self.topic,
            channel=self.channel,
            attempt=attempt,
        )

    # -- intake ---------------------------------------------------------------------------------------------------

    def receive(self, deliveries: Sequence[Delivery]) -> None:
        """Take new deliveries from the engine."""
        if self.is_stopping:
            for delivery in deliveries:
                delivery.requeue()
            return
        if self.bus.intake is not None:
            deliveries = self.bus.intake.admit(deliveries)
            if self.bus.intake.is_spent and self.subscription is not None:
                self.subscription.set_max_in_flight(0)
        self.workers.queue.extend(deliveries)
        self.workers.wake()

    def _work(self, delivery: Delivery) -> None:
        try:
            self._open(delivery)
            if self.valve.is_probing:
                self.valve.probe_next()  # the test neither passed nor failed
        except BaseException as error:  # nothing may end a worker or leave a delivery unanswered
            log.exception("delivery on %s/%s could not be dispatched: %s", self.topic, self.channel, error)
            delivery.requeue(AFTER_FAILED_PARKING)

    def _open(self, delivery: Delivery) -> None:
        """Decode, and hand to the handler what is for it."""
        try:
            envelope = decode(delivery.body, self._limits)
        except DecodeError as error:
            self._answers.park(delivery, None, f"not decodable: {error.reason}", None, delivery.attempts)
            return
        attempt = delivery.attempts
        if envelope.replay_for is not None or envelope.deliver_at is not None or envelope.expires_at is not None:
            if not self._answers.is_due(delivery, envelope):
                return
            attempt += envelope.prior_attempts
        route = self._routes.get(envelope.type)
        if route is None:
            self._answers.leave_unhandled(delivery, envelope)
            return
        if envelope.depth > self.bus.max_depth:
            self._answers.park(
                delivery,
                envelope,
                f"loop: {envelope.depth} events caused one another; limit {self.bus.max_depth}",
                None,
                attempt,
            )
            return
        data = envelope.data
        try:
            event = route.validate(data, extra="ignore")
        except ValidationError as error:
            self._answers.park(delivery, envelope, f"invalid: {first_fault(error)}", None, attempt)
            return
        if len(data) > route.known_fields:
            self.unknown_fields += 1
        job = Job(self, delivery, envelope, event, attempt)
        if route.batcher is not None:
            # what failed in a batch comes alone, so that one bad event does not take the others with it
            if attempt == 1:
                route.batcher.add(job)
            else:
                self._run_or_wait(route, job)
        elif self._may_exceed:
            self._run_or_wait(route, job)
        else:
            self._run(route, (job,))

    # -- running --------------------------------------------------------------------------------------------------

    def _run_or_wait(self, route: Route, job: Job) -> None:
        if route.running >= route.binding.concurrency:
            route.waiting.append(job)
        else:
            self._run(route, (job,))

    def _run_later(self, route: Route, jobs: Sequence[Job]) -> None:
        def run() -> None:
            self._run(route, jobs)
            if self.valve.is_probing:
                self.valve.probe_next()

        self.workers.chores.append(run)
        self.workers.wake()

    def _run(self, route: Route, jobs: Sequence[Job]) -> None:
        me = getcurrent()
        self.running[me] = (jobs, route, 0.0)
        route.running += 1
        watchers = self._watchers
        began = monotonic() if watchers else 0.0
        try:
            try:
                self._variables.copy().run(route.call, jobs)
            finally:
                route.running -= 1
                del self.running[me]
        except BaseException as error:  # GreenletExit and SystemExit must lose nothing either
            for job in jobs:
                if self._answers.failed(route.binding, job, error):
                    self.valve.failed()
        else:
            for job in jobs:
                job.delivery.finish()
            self._handled += len(jobs)
            if watchers:
                ended = monotonic()
                for watch in watchers:
                    for job in jobs:
                        watch(job.envelope, began, ended)
            if self.valve.backoff.failures:
                self.valve.succeeded()
            if self._is_verbose:
                for job in jobs:
                    self._answers.log.write(logging.DEBUG, "handled", job.envelope, job.attempt)
            if self._answers.observers:
                for job in jobs:
                    self._answers.settled(Outcome.HANDLED, job.envelope, job.delivery)
        if route.waiting:
            job = route.waiting.popleft()
            self._run_later(route, (job,))

    # -- upkeep and stop --------------------------------------------------------------------------------------------

    @property
    def handled(self) -> int:
        """Deliveries finished after their handler returned."""
        return self._handled

    @property
    def counts(self) -> Counter[Outcome]:
        """Deliveries by what became of them."""
        return self._answers.counts

    def _held_jobs(self) -> list[Job]:
        jobs = list(self.runs.jobs())
        for route in self._routes.values():
            jobs.extend(route.waiting)
            if route.batcher is not None:
                jobs.extend(route.batcher.jobs)
        return jobs

    def tick(self, now: float) -> None:
        """Interrupt what ran out of time, and touch what is held for long. Runs in the hub."""
        self.runs.interrupt_late(now)
        self._is_verbose = self._answers.log.is_verbose  # asked here, and not for each event
        subscription = self.subscription
        if subscription is None:
            return
        oldest = now - subscription.message_timeout / 2
        for delivery in [*self.workers.queue, *(job.delivery for job in self._held_jobs())]:
            if not delivery.held_since:
                delivery.held_since = now  # by the first tick after it came: most are answered before one looks at them
            elif delivery.held_since < oldest:
                delivery.held_since = now
                delivery.touch()

    @property
    def is_busy(self) -> bool:
        """Whether a handler runs, or what it left is being answered."""
        return bool(self.running or self._answers.under_way)

    def is_idle(self) -> bool:
        """Whether nothing can go on here before time passes or something arrives."""
        if self.is_busy or self.workers.chores or self.workers.is_waking:
            return False
        return not self.workers.queue or not self.valve.is_flowing

    def hold(self) -> None:
        """Begin nothing more: what waits is taken from the workers, and kept for `stop_intake` to give back."""
        self.is_stopping = True
        self.valve.close()
        waiting = self._held_back
        waiting.extend(self.workers.queue)
        self.workers.queue.clear()
        for route in self._routes.values():
            waiting.extend(job.delivery for job in route.waiting)
            route.waiting.clear()
            if route.batcher is not None:
                waiting.extend(job.delivery for job in route.batcher.cancel())

    def stop_intake(self, timeout: float) -> int:
        """Take nothing more and give back what no handler has begun; return how many."""
        self.hold()
        try:
            if self.subscription is not None:
                self.subscription.stop(timeout=timeout)
        finally:
            returned, self._held_back = self._held_back, []
            for delivery in returned:  # given back after the engine was told: before it they would come here again
                delivery.requeue()
        return len(returned)

    def close(self) -> None:
        """End workers and subscription."""
        self.workers.close()
        if self.subscription is not None:
            self.subscription.close()
