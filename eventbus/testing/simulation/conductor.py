"""Conductor: stands beside every handler, publish and commit of a schedule, and lets go wrong what the schedule says.

Each place at which something could go wrong is a point, noted in the order in which it comes; a fault that the schedule
names happens there. So one run tells what further faults could be tried after it.
"""

from __future__ import annotations

import contextvars
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import gevent

from eventbus.context import Context
from eventbus.delivery.interrupts import Interrupt
from eventbus.errors import NotSent, OutcomeUnknown
from eventbus.handlers.binding import Binding
from eventbus.middleware import Middleware, Outcome
from eventbus.runtime.redaction import one_line, text_of
from eventbus.service import Service
from eventbus.testing.simulation.broker import OWN
from eventbus.testing.simulation.errors import SimulationError
from eventbus.testing.simulation.faults import KINDS, Fault, Schedule
from eventbus.testing.simulation.older import OlderVersions
from eventbus.testing.simulation.process import SETTINGS, Process
from eventbus.testing.simulation.runs import Died, Run, current
from eventbus.testing.simulation.story import Step, name_of
from eventbus.wire.codec import decode
from eventbus.wire.envelope import RECEIPT_TO, Envelope

_TOLD = {
    Outcome.RETRIED: "fails",
    Outcome.POSTPONED: "is put off",
    Outcome.PARKED: "is parked",
    Outcome.DROPPED: "is dropped",
    Outcome.EXPIRED: "has expired",
    Outcome.UNHANDLED: "has no handler",
    Outcome.RETURNED: "is given back",
}


class Conductor:
    """Notes the points of one schedule, and lets its faults happen.

    Args:
        schedule: the faults.
        loses: whether the broker may also forget what no outbox sends again.
        older: the published contracts.
    """

    def __init__(self, schedule: Schedule, *, loses: bool, older: OlderVersions) -> None:
        self._wanted = dict.fromkeys(schedule)
        self._loses = loses
        self._older = older
        self.points: list[Fault] = []
        self.fired: dict[Fault, int] = {}
        """Faults that happened, each with its place among the points."""
        self.steps: list[Step] = []
        self.digest: list[Any] = []
        """What must be the same in two runs of one schedule."""
        self.labels: dict[tuple[str, str, str], str] = {}
        """By service, topic and type: how the handler is called."""
        self.runs: Counter[str] = Counter()
        self.messages: Counter[str] = Counter()
        self.parkings: Counter[str] = Counter()
        self.stopping: list[tuple[Process, gevent.Greenlet[..., Any]]] = []
        self.is_together = False
        self.processes: Sequence[Process] = ()
        self.fatal: Exception | None = None
        self.outcomes: list[tuple[Outcome, str, str]] = []
        """What became of deliveries: outcome, channel, event id."""
        self.published: list[tuple[str, Envelope]] = []
        self.completed: Counter[tuple[str, str]] = Counter()
        """By channel and event id: how often a handler came to its end, and its effect stayed."""
        self.look: Callable[[], list[str]] = list
        """Returns what has changed since it was called last."""
        self.delay_retry: Callable[[str, str, bytes], None] = lambda topic, channel, body: None

    # -- points -----------------------------------------------------------------------------------------------------

    def point(self, kind: str, place: str, number: int, detail: int = 0) -> bool:
        """Note a place where a fault could happen; return whether it happens."""
        fault = Fault(kind, place, number, detail)
        self.points.append(fault)
        if fault not in self._wanted or fault in self.fired:
            return False
        self.fired[fault] = len(self.points)
        return True

    def tell(self, text: str, *, is_fault: bool = False) -> None:
        """Add a step to the story."""
        self.take_effects()
        self.steps.append(Step(text, is_fault=is_fault))
        self.digest.append(text)

    def take_effects(self) -> None:
        """Add what has changed to the step in which it did."""
        if self.steps and (effects := self.look()):
            step = next((each for each in reversed(self.steps) if not each.is_fault), self.steps[-1])
            step.effects += effects
            self.digest.append(effects)

    def note_fault(self, kind: str) -> None:
        """Add a fault to the story."""
        self.tell(KINDS[kind], is_fault=True)

    # -- handlers ---------------------------------------------------------------------------------------------------

    def label(self, service: Service, binding: Binding) -> str:
        """Return how a handler is called: its name, with its service's where two have the same."""
        key = (service.name, binding.topic, binding.type_name)
        if key not in self.labels:
            name = binding.name.rpartition(".")[2].strip("<>")
            label = name if name not in self.labels.values() else f"{service.name}.{name}"
            self.labels[key] = label if label not in self.labels.values() else f"{label}-{binding.type_name}"
        return self.labels[key]

    def wrap(self, service: Service, binding: Binding) -> Callable[..., Any]:
        """Return what is called in the handler's place."""
        handler = binding.handler
        self.label(service, binding)

        def call(*arguments: Any) -> Any:
            result = handler(*arguments)
            run = current.get()
            if run is not None:
                run.is_through = True
            if run is not None and self.point("times-out", run.label, run.number):
                self.note_fault("times-out")
                raise Interrupt
            return result

        call.__qualname__ = binding.name
        return call

    def handle(self, process: Process, event: Any, context: Context, proceed: Callable[[Any, Context], Any]) -> Any:
        """Run a handler, with what goes wrong around it."""
        label = self.labels.get((context.service, context.topic, context.event_type), context.service)
        self.runs[label] += 1
        run = Run(label, self.runs[label], context.service, process, context.envelope)
        again = "again " if context.attempt > 1 else ""
        full = label if "." in label else f"{context.service}.{label}"
        self.tell(f"{full} handles {name_of(context.envelope)} {again}, attempt {context.attempt}".replace(" ,", ","))
        token = current.set(run)
        try:
            if self.point("dies-before", label, run.number):
                self._die(run, "dies-before")
            if self.point("stops", label, run.number):
                self.note_fault("stops")
                outside = contextvars.Context()  # the stop is no part of this run
                self.stopping.append((process, outside.run(gevent.spawn, process.stop)))
                gevent.sleep(0)
            result = proceed(event, context)
            if run.is_through:
                self.completed[context.channel, context.event_id] += 1
            inbox = self._has_inbox(process, context)
            if not inbox and self.point("dies-after", label, run.number):
                self._die(run, "dies-after")
            return result
        except Died:
            process.die()
            raise
        finally:
            current.reset(token)

    @staticmethod
    def _has_inbox(process: Process, context: Context) -> bool:
        service = process.serving(context.channel)
        binding = None if service is None else service._bindings.get((context.topic, context.event_type))
        return binding is not None and binding.inbox is not None

    def begins(self, database: Any) -> None:
        """Before a unit of work begins on a database: where two handlers run at one moment, the other has its turn."""
        if self.is_together and current.get() is not None:
            gevent.sleep(0)

    def commits(self, connection: Any) -> None:
        """Before a transaction that writes is committed."""
        run = current.get()
        if run is None or connection.get_execution_options().get("eventbus_reads"):
            return
        run.commits += 1
        if self.point("dies-committing", run.label, run.number, run.commits):
            self._die(run, "dies-committing")

    def committed(self) -> None:
        """Between a commit and the answer."""
        run = current.get()
        if run is not None and self.point("dies-after", run.label, run.number):
            self._die(run, "dies-after")

    def computes_for_ever(self, place: str) -> None:
        """Learn that nothing had its turn for long; called by another thread."""
        runs = [each for process in self.processes for each in process.running()]
        self.fatal = SimulationError(f"{', '.join(runs) or 'a check'} computes for ever at {place}; does it wait in a loop?")

    def _die(self, run: Run, kind: str) -> None:
        self.note_fault(kind)
        raise Died

    # -- publishing -------------------------------------------------------------------------------------------------

    def send(self, topic: str, body: bytes, proceed: Callable[[bytes], None]) -> None:
        """Send a message, with what goes wrong around it."""
        run = current.get()
        if topic.endswith(".dead"):
            self.parkings[topic] += 1
            if self.point("parking", topic.split(".")[-2], self.parkings[topic]):
                self.note_fault("parking")
                raise NotSent("the simulation lets parking fail")
        if topic.endswith(OWN):
            proceed(body)
            return
        envelope = decode(body)
        self.messages[envelope.type] += 1
        number = self.messages[envelope.type]
        if run is not None:
            run.publishes += 1
            if self.point("dies-between", run.label, run.number, run.publishes):
                self._die(run, "dies-between")
            if self.is_together:
                gevent.sleep(0)
        self.digest.append((envelope.type, repr(envelope.data)))
        self.published.append((topic, envelope))
        sender = f"by {run.service}" if run is not None else f"by {envelope.source}"
        self.tell(f"{name_of(envelope)} is published{'' if envelope.source == 'test' else f' {sender}'}")
        has_outbox = RECEIPT_TO in (envelope.extensions or {})
        if (has_outbox or self._loses) and self.point("forgotten", envelope.type, number):
            self.note_fault("forgotten")
            return
        contract = self._older.before(topic, envelope) if run is None else None
        if contract is not None and self.point("older", envelope.type, number):
            self.note_fault("older")
            body = self._older.written(envelope, contract)
        proceed(body)
        if (run is not None or has_outbox) and self.point("unknown", envelope.type, number):
            self.note_fault("unknown")
            raise OutcomeUnknown("the simulation lets the confirmation be lost")

    # -- outcomes ---------------------------------------------------------------------------------------------------

    def settled(self, process: Process, outcome: Outcome, context: Context, error: BaseException | None) -> None:
        """A delivery has its answer."""
        if process.link.is_dead:
            return
        self.outcomes.append((outcome, context.channel, context.event_id))
        if outcome is Outcome.PARKED and context.envelope.depth > SETTINGS.max_depth:
            self.fatal = SimulationError(
                f"{context.service} publishes for ever: {context.envelope.depth} events caused one another, the last is a "
                f"{one_line(context.event_type, most=60)}"
            )
        if outcome in _TOLD:
            why = "" if error is None else f": {type(error).__name__}: {one_line(text_of(error), most=80)}"
            self.tell(f"{name_of(context.envelope)} {_TOLD[outcome]} at {context.channel}{why}")
        if outcome in (Outcome.RETRIED, Outcome.POSTPONED):
            label = self.labels.get((context.service, context.topic, context.event_type), context.service)
            if self.point("late", label, self.runs[label]):
                self.note_fault("late")
                self.delay_retry(context.topic, context.channel, context._delivery.body)


class Hooks(Middleware):
    """The conductor's middleware in one process."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self.process: Process

    def handle(self, event: Any, context: Context, proceed: Callable[[Any, Context], Any]) -> Any:
        if context.topic.endswith(OWN):  # what the library says to itself
            return proceed(event, context)
        return self._conductor.handle(self.process, event, context, proceed)

    def settled(self, outcome: Outcome, context: Context, error: BaseException | None) -> None:
        if not context.topic.endswith(OWN):
            self._conductor.settled(self.process, outcome, context, error)
