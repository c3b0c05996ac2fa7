"""Dispatcher: serves one topic of one service. A delivery that is handled lives so:

 1. The engine hands over a batch of deliveries (`engines/`, `Dispatcher.receive`); they wait in the queue of the workers.
 2. A worker greenlet takes one, if the channel's circuit breaker lets it (`workers.py`, `circuit_breaker.py`).
 3. Its bytes become an envelope (`decoding.py`, `wire/codec.py`); what is no envelope is parked.
 4. What is not due, expired, not for this channel or of an unknown type gets its answer (`acknowledgement.py`).
 5. The envelope's type finds its route, and the data become an event of the handler's own class (`routes.py`).
 6. It waits for its batch or a free run where there must be one (`batches.py`, `execution.py`).
 7. The handler runs, through middleware or inbox, with its cause set; what it returns is published (`invocation.py`).
 8. The ticker interrupts it when its time is up, and touches what is held for long (`ticker.py`, `running.py`).
 9. It returned: the delivery is finished. It raised: retried, postponed or parked (`acknowledgement.py`, `dead_letters/`).
10. The outcome is counted, logged and told (`outcome_log.py`, `middleware.py`), and the breaker learns of it.

Nothing that goes wrong here, in a handler or below, leaves a delivery unanswered or finishes one that was not handled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextvars import Context as ContextVars

import gevent
from gevent import GreenletExit

from eventbus.context import Context
from eventbus.dead_letters.mending import DeadLetters
from eventbus.delivery.acknowledgement import Acknowledger
from eventbus.delivery.aging import Aging
from eventbus.delivery.circuit_breaker import State
from eventbus.delivery.decoding import Decoder
from eventbus.delivery.execution import Executor
from eventbus.delivery.flow_control import FlowControl
from eventbus.delivery.host import Host
from eventbus.delivery.interrupts import WorkerKilled
from eventbus.delivery.prefetch import Prefetch
from eventbus.delivery.received import Received
from eventbus.delivery.routes import Route
from eventbus.delivery.short_waits import ShortWaits
from eventbus.delivery.unbegun import Unbegun
from eventbus.delivery.workers import Workers
from eventbus.engines.base import Delivery, Subscription
from eventbus.middleware import Outcome
from eventbus.service import Service
from eventbus.wire.envelope import Envelope

_CLOSED = State.CLOSED


class Dispatcher:
    """Serves one topic of one service; see the module's docstring."""

    def __init__(self, host: Host, service: Service, topic: str, variables: ContextVars) -> None:
        self.host = host
        self.service = service
        self.topic = topic
        self.channel = service.channel
        self.subscription: Subscription | None = None
        self.is_stopping = False
        self._has_left = False
        self._held_back: list[Delivery] = []
        self.unbegun = Unbegun()
        bindings = [binding for binding in service.bindings if binding.topic == topic]
        concurrency = sum(binding.concurrency for binding in bindings)
        runs = sum(each.concurrency * (each.batch.size if each.batch else 1) for each in bindings)
        most = service.max_in_flight or host.max_in_flight
        self._prefetch = Prefetch(runs, most, host.message_timeout)
        clock = host.engine.clock
        self.flow = FlowControl(service.backoff, clock, f"{topic}/{self.channel}", self._prefetch.limit, most)
        self.workers = Workers(self._work, concurrency, self.flow.breaker)
        self.flow.control(self.workers)
        self.waits = ShortWaits(lambda: self.subscription, self._resume, most)
        self._acknowledger = Acknowledger(self, topic, host.middleware, hold=self.flow.hold)
        self.ask_observers = self._acknowledger.observers.ask
        watches = [each.watch(service.name, topic, self.channel) for each in host.middleware if each.wants("watch")]
        self.execution = Executor(
            self._acknowledger,
            self.flow,
            self._later,
            variables,
            [watch for watch in watches if watch is not None],
            may_exceed=len(bindings) > 1,
        )
        release: Callable[[Route, Sequence[Received]], None] = self.execution.run_later
        self._routes = {
            binding.type_name: Route(binding, service.name, host.middleware, clock, release) for binding in bindings
        }
        self.decoder = Decoder(self, topic, self._acknowledger, self._routes, self.unbegun)
        self._aging = Aging(
            DeadLetters(host.engine, topic, self.channel, timeout=host.publish_timeout),
            clock,
            host.max_dead.age,
            host.randomness.random,
            self._acknowledger.dropped,
        )
        self._breaker = self.flow.breaker
        self._open, self._begin = self.decoder.open, self.execution.begin

    # -- set-up ---------------------------------------------------------------------------------------------------

    def subscribe(self) -> None:
        """Join the channel; deliveries come from now on."""
        subscription = self.host.engine.subscribe(
            self.topic,
            self.channel,
            self.receive,
            max_in_flight=self._prefetch.limit,
            message_timeout=self.host.message_timeout,
            client=self.service.client,
        )
        if self.is_stopping:  # it blocked, and the stop knew nothing of it
            subscription.close()
            return
        self.subscription = subscription
        self.flow.open(subscription)
        self._aging.start()

    def make_context(self, envelope: Envelope, delivery: Delivery, attempt: int) -> Context:
        """Return the handler's view of a delivery."""
        return Context(
            envelope,
            delivery,
            self.host,
            service=self.service.name,
            instance=self.service.instance,
            topic=self.topic,
            channel=self.channel,
            attempt=attempt,
        )

    # -- receiving ------------------------------------------------------------------------------------------------

    def receive(self, deliveries: Sequence[Delivery]) -> None:
        """Take new deliveries from the engine."""
        if self.is_stopping:
            if self._has_left:
                for delivery in deliveries:
                    if not delivery.give_back():
                        delivery.requeue()
            else:  # given back at once it would come here again at once
                self._held_back.extend(deliveries)
            return
        quota = self.host.quota
        if quota is not None:
            admitted = quota.admit(deliveries)
            if len(admitted) < len(deliveries):
                surplus = deliveries[len(admitted) :]
                gevent.spawn(self._acknowledger.give_back, surplus, timeout=self.host.publish_timeout)
            deliveries = admitted
            if quota.is_spent and self.subscription is not None:
                self.subscription.set_max_in_flight(0)
        self.workers.queue.extend(deliveries)
        self.workers.wake()

    def _resume(self, delivery: Delivery) -> None:
        self.workers.queue.append(delivery)
        self.workers.wake()

    def _work(self, delivery: Delivery) -> None:
        try:
            if not delivery.is_held:
                self.unbegun.note(delivery)  # the engine gave it to somebody else while it waited here
                return
            opened = self._open(delivery)
            if opened is not None:
                route, item = opened  # by name: a call with a star goes a long way round
                self._begin(route, item)
        except WorkerKilled:
            raise
        except BaseException as error:  # nothing may end a worker or leave a delivery unanswered
            if self.workers.is_abandoned:
                raise
            self._acknowledger.broken(delivery, None, error)
            if isinstance(error, GreenletExit):  # whoever kills a worker waits for its end
                raise
        finally:
            if self._breaker.state is not _CLOSED:
                self.flow.probe_again()

    def _later(self, chore: Callable[[], None]) -> None:
        self.workers.chores.append(chore)
        self.workers.wake()

    # -- looking --------------------------------------------------------------------------------------------------

    @property
    def handled(self) -> int:
        """Deliveries finished after their handler returned."""
        return self.execution.handled

    @property
    def unknown_fields(self) -> int:
        """Events that had more fields than their handler reads."""
        return self.decoder.unknown_fields

    @property
    def counts(self) -> Counter[Outcome]:
        """Deliveries that were not handled, by what became of them."""
        return self._acknowledger.observers.counts

    @property
    def is_busy(self) -> bool:
        """Whether a handler runs or is about to, or what it left is being answered."""
        return bool(self.execution.running.by_greenlet or self._acknowledger.under_way or self.workers.chores)

    def is_idle(self) -> bool:
        """Whether nothing can go on here before time passes or something arrives."""
        if self.is_busy or self.workers.is_waking or self.workers.is_working:
            return False
        return not self.workers.queue or not self.flow.is_flowing

    # -- upkeep and stop ------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Interrupt what ran out of time, and touch what is held for long. Runs in the hub."""
        self.execution.running.interrupt_late(now)
        self.execution.is_verbose = self._acknowledger.log.is_verbose  # asked here, and not for each event
        subscription = self.subscription
        if subscription is None:
            return
        answered = self.handled + sum(self.counts.values())
        self.waits.tick(now)
        parking = [*self._acknowledger.parking(), *self.waits.held()]
        begun = self.execution.held(self._routes)
        is_full = len(begun) >= self._prefetch.runs or any(route.waiting for route in self._routes.values())
        has_changed = self._prefetch.tick(now, answered, is_full=is_full, parking=len(parking))
        # told again where nothing waits here: an engine may wait for more answers before it gives more
        if has_changed or ((begun or parking) and not self.workers.queue):
            self.flow.allow(self._prefetch.limit)
        oldest = now - subscription.message_timeout / 2
        for delivery in (*self.workers.queue, *begun, *parking):
            if not delivery.held_since:
                delivery.held_since = now  # by the first tick after it came: most are answered before one looks at them
            elif delivery.held_since < oldest:
                delivery.held_since = now
                delivery.touch()
        if self.workers.queue and not self.workers.queue[0].is_held:
            waiting = []
            for each in self.workers.queue:
                if each.is_held:
                    waiting.append(each)
                else:
                    self.unbegun.note(each)
            self.workers.queue.clear()
            self.workers.queue.extend(waiting)

    def held(self) -> list[Delivery]:
        """Return what is not answered yet: what waits for a worker, what runs, and what waits for its dead letter."""
        return [*self.workers.queue, *self.execution.held(self._routes), *self._acknowledger.parking(), *self.waits.held()]

    def hold(self) -> None:
        """Begin nothing more: what waits is taken from the workers, and kept for `stop_intake` to give back."""
        self.is_stopping = True
        self._aging.stop()
        self.flow.close()
        waiting = self._held_back
        waiting.extend(self.waits.leave())
        waiting.extend(self.workers.queue)
        self.workers.queue.clear()
        for route in self._routes.values():
            waiting.extend(item.delivery for item in route.waiting)
            route.waiting.clear()
            if route.batcher is not None:
                waiting.extend(item.delivery for item in route.batcher.cancel())

    def stop_intake(self, timeout: float) -> int:
        """Take nothing more and give back what no handler has begun; return how many."""
        self.hold()
        try:
            if self.subscription is not None:
                self.subscription.stop(timeout=timeout)
        finally:
            self._has_left = True
            returned, self._held_back = self._held_back, []
            # after the engine was told: before it they would come here again
            self._acknowledger.give_back(returned, timeout=timeout)
        return len(returned)

    def give_up(self) -> None:
        """Put back what is still in hand when the time of a stop is up."""
        self.execution.running.give_up()
        self._acknowledger.give_up()

    def abandon(self) -> None:
        """In a forked child: begin nothing, and go on with nothing that the parent is at."""
        self.is_stopping = True
        self._aging.stop()
        self.flow.close()
        self.waits.leave()
        self.workers.abandon()
        self.execution.is_abandoned = True
        forking = gevent.getcurrent()  # perhaps a handler: what it does in the child is its own affair
        gevent.killall([each for each in self.execution.running.by_greenlet if each is not forking], block=False)

    def close(self) -> None:
        """End workers and subscription."""
        self.workers.close()
        if self.subscription is not None:
            self.subscription.close()
