"""Worker: runs handlers on dead letters that somebody asks about, takes everything back and says how it went."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import gevent
from gevent.lock import BoundedSemaphore

from eventbus.context import Context, current_cause, in_dry_run
from eventbus.delivery.interrupts import Interrupt
from eventbus.delivery.invocation import events_of
from eventbus.delivery.routes import first_fault
from eventbus.engines.base import Delivery
from eventbus.errors import DecodeError, EventBusError
from eventbus.event import Event, event_info
from eventbus.handlers.binding import Binding
from eventbus.names import EPHEMERAL, MAX_LENGTH
from eventbus.outcomes.listening import is_believed
from eventbus.rehearsal.messages import ANSWERS, QUESTIONS, Question, Verdict, read_question, write_verdicts
from eventbus.runtime.guarded_log import guarded_log
from eventbus.runtime.tracebacks import innermost_frame
from eventbus.service import Service
from eventbus.signing import signer_of
from eventbus.wire.codec import Limits, decode
from eventbus.wire.envelope import Envelope

if TYPE_CHECKING:
    from eventbus.bus import Bus

log = guarded_log("eventbus.rehearsal")

_LONGEST = 30.0
"""Seconds for one letter at most."""
_AGAIN = 5.0
_TIMEOUT = 120.0


class Rehearsals:
    """Answers questions about the services of a bus: attach it with `bus.attach(Rehearsals())`. One question at a time."""

    def __init__(self) -> None:
        self._bus: Bus | None = None
        self._subscriptions: dict[str, Any] = {}
        self._greenlets: list[Any] = []
        self._turn = BoundedSemaphore(1)

    def start(self, bus: Bus) -> None:
        """Look out for questions from now on; a broker that is away is no fault here."""
        self._bus = bus
        self._greenlets = [gevent.spawn(self._subscribe)]

    def stop_intake(self) -> None:
        """Take no question more."""
        gevent.killall(self._greenlets, block=False)
        for each in self._subscriptions.values():
            each.close()
        self._subscriptions.clear()

    def stop(self, timeout: float) -> None:
        """What is rehearsed is taken back all the same."""

    def abandon(self) -> None:
        """In a forked child: the questions are the parent's."""
        gevent.killall(self._greenlets, block=False)

    def is_idle(self) -> bool:
        """Nothing waits for a rehearsal."""
        return True

    # -- questions ----------------------------------------------------------------------------------------------------

    def _subscribe(self) -> None:
        """Join the questions for each channel that has handlers which can be tried; the replicas of it take turns."""
        bus = self._bus
        assert bus is not None
        while True:
            wanted = {each.service.channel for each in bus.dispatchers if any(map(_can_be_tried, each.service.bindings))}
            for channel in wanted - set(self._subscriptions):
                try:
                    name = channel_for(channel)
                    bus.engine.declare(QUESTIONS, [name])
                    self._subscriptions[channel] = bus.engine.subscribe(
                        QUESTIONS, name, self._receive, max_in_flight=4, message_timeout=_TIMEOUT
                    )
                except EventBusError as error:
                    log.debug("questions about dead letters cannot be heard: %s", error)
            gevent.sleep(_AGAIN if wanted else 0.5)

    def _receive(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            delivery.finish()
            gevent.spawn(self._answer, delivery.body)

    def _answer(self, body: bytes) -> None:
        bus = self._bus
        assert bus is not None
        try:
            if not is_believed(bus, QUESTIONS, body):
                raise DecodeError("not believed")
            question = read_question(body, Limits(max_bytes=bus.engine.max_message_bytes))
        except DecodeError as error:
            log.debug("no question about dead letters: %s", error)
            return
        dispatcher = next(
            (each for each in bus.dispatchers if (each.topic, each.channel) == (question.topic, question.channel)), None
        )
        if dispatcher is None:
            return  # the channels of several topics hear of it
        with self._turn:
            verdicts = [self._try(dispatcher.service, question, name, each) for name, each in question.bodies.items()]
        try:
            answer = write_verdicts(question.id, verdicts, bus.source)
            bus.engine.publish(ANSWERS, answer, delay=0.0, timeout=bus.publish_timeout)
        except EventBusError as error:
            log.warning("what a rehearsal of %d dead letters gave cannot be told: %s", len(verdicts), error)

    # -- trying -------------------------------------------------------------------------------------------------------

    def _try(self, service: Service, question: Question, name: str, body: bytes) -> Verdict:
        bus = self._bus
        assert bus is not None
        try:
            envelope = decode(body, Limits(max_bytes=bus.engine.max_message_bytes))
        except DecodeError:
            return Verdict(name, "fail", "it is no event")
        signer = signer_of(bus.engine)
        if signer is not None and signer.mode == "require" and signer.doubt(question.topic, envelope) is not None:
            return Verdict(name, "fail", "it is not signed by a key that may")
        binding = next(
            (each for each in service.bindings if (each.topic, each.type_name) == (question.topic, envelope.type)), None
        )
        if binding is None:
            return Verdict(name, "fail" if service.unhandled == "park" else "pass", "no handler for its type")
        if not _can_be_tried(binding):
            return Verdict(name, "cannot", f"{binding.name} does not say dry_run=True")
        try:
            event = binding.event_type.__pydantic_validator__.validate_python(envelope.data, extra="ignore")
        except Exception as error:
            return Verdict(name, "fail", f"invalid: {first_fault(error).split(':')[0]}", innermost_frame(error))
        context = self._context(service, binding, envelope, body)
        try:
            gevent.spawn(_run, binding, event, context).get(timeout=min(binding.timeout, _LONGEST) + 1.0)
        except gevent.Timeout:
            return Verdict(name, "fail", "it did not end in time")
        except (Exception, Interrupt) as error:
            return Verdict(name, "fail", type(error).__name__, innermost_frame(error))
        return Verdict(name, "pass", published=tuple(event_info(type(each)).name for each in context.captured or ()))

    def _context(self, service: Service, binding: Binding, envelope: Envelope, body: bytes) -> Context:
        assert self._bus is not None
        context = Context(
            envelope,
            _Letter(body),
            self._bus,
            service=service.name,
            instance=service.instance,
            topic=binding.topic,
            channel=service.channel,
            attempt=1,
        )
        context.captured = []
        return context


def _run(binding: Binding, event: Event, context: Context) -> None:
    in_dry_run.set(True)
    current_cause.set((context.envelope, context.service))
    is_batch = binding.batch is not None

    def call(_: Sequence[int], contexts: Sequence[Context]) -> Sequence[Event]:
        given: Any = [event] if is_batch else event
        mine: Any = list(contexts) if is_batch else contexts[0]
        return events_of(binding, binding.handler(given, mine) if binding.wants_context else binding.handler(given))

    limit = min(binding.timeout, _LONGEST)
    with gevent.Timeout(limit, TimeoutError(f"longer than {limit:g} s")):
        if binding.inbox is not None:
            binding.inbox.rehearse([context], call)  # type: ignore[attr-defined]
        else:
            assert context.captured is not None
            context.captured.extend(call((0,), [context]))


def _can_be_tried(binding: Binding) -> bool:
    return binding.dry_run and (binding.inbox is None or hasattr(binding.inbox, "rehearse"))


def channel_for(channel: str) -> str:
    """Return the channel of QUESTIONS on which the replicas of a channel take turns."""
    name = f"of.{channel.removesuffix(EPHEMERAL)}{EPHEMERAL}"
    return name if len(name) <= MAX_LENGTH else f"of.{blake2b(channel.encode(), digest_size=12).hexdigest()}{EPHEMERAL}"


class _Letter:
    """A dead letter as a delivery that nobody can answer."""

    attempts = 1
    held_since = timestamp = 0.0
    is_held = True

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.size = len(body)

    def finish(self) -> None:
        """It stays parked."""

    def requeue(self, delay: float = 0.0) -> None:
        """It stays parked."""

    def give_back(self) -> bool:
        """It stays parked."""
        return True

    def touch(self) -> None:
        """Nothing waits for it."""
