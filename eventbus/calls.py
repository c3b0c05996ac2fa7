"""Calls: one run of a handler, with its cause, its middleware and the publishing of what it returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from eventbus.context import Context, current_cause
from eventbus.errors import HandlerResultError
from eventbus.event import Event
from eventbus.jobs import Job
from eventbus.middleware import Middleware
from eventbus.service import Binding

if TYPE_CHECKING:
    from eventbus.bus import Bus


def plain_call(binding: Binding, service: str) -> Callable[[Sequence[Job]], None]:
    """Return what runs the handler on one job, or on the jobs of a batch."""
    handler = binding.handler
    wants_context = binding.wants_context
    set_cause = current_cause.set

    def call(jobs: Sequence[Job]) -> None:
        job = jobs[0]
        set_cause((job.envelope, service))
        result = handler(job.event, job.context) if wants_context else handler(job.event)
        if result is not None:
            publish_result(job.source.bus, binding, result)

    def call_batch(jobs: Sequence[Job]) -> None:
        set_cause((jobs[0].envelope, service))
        events = [each.event for each in jobs]
        result = handler(events, [each.context for each in jobs]) if wants_context else handler(events)
        if result is not None:
            publish_result(jobs[0].source.bus, binding, result)

    return call if binding.batch is None else call_batch


def inbox_call(binding: Binding, service: str) -> Callable[[Sequence[Job]], None]:
    """Return what runs the handler through its inbox."""
    run = _inbox_runner(binding)

    def call(jobs: Sequence[Job]) -> None:
        current_cause.set((jobs[0].envelope, service))
        run(jobs)

    return call


def _inbox_runner(binding: Binding) -> Callable[[Sequence[Job]], None]:
    inbox = binding.inbox
    assert inbox is not None
    is_batch = binding.batch is not None

    def run(jobs: Sequence[Job]) -> None:
        def call(positions: Sequence[int], contexts: Sequence[Context]) -> Sequence[Event]:
            event: Any = [jobs[position].event for position in positions] if is_batch else jobs[0].event
            context: Any = list(contexts) if is_batch else contexts[0]
            return events_of(binding, binding.handler(event, context) if binding.wants_context else binding.handler(event))

        inbox.handle([job.context for job in jobs], call)

    return run


def wrapped_call(binding: Binding, service: str, middleware: Sequence[Middleware]) -> Callable[[Sequence[Job]], None]:
    """The same through middleware, the first of which is the outermost."""
    is_batch = binding.batch is not None
    through_inbox = None if binding.inbox is None else _inbox_runner(binding)

    def call(jobs: Sequence[Job]) -> None:
        first = jobs[0]
        current_cause.set((first.envelope, service))

        def innermost(event: Any, context: Context) -> Any:
            if through_inbox is not None:
                through_inbox(jobs)
                return None
            if binding.wants_context:
                result = binding.handler(event, [each.context for each in jobs] if is_batch else context)
            else:
                result = binding.handler(event)
            if result is not None:
                publish_result(first.source.bus, binding, result)
            return result

        proceed: Callable[[Any, Context], Any] = innermost
        for layer in reversed(middleware):
            proceed = _layer(layer, proceed)
        proceed([each.event for each in jobs] if is_batch else first.event, first.context)

    return call


def _layer(middleware: Middleware, proceed: Callable[[Any, Context], Any]) -> Callable[[Any, Context], Any]:
    return lambda event, context: middleware.handle(event, context, proceed)


def publish_result(bus: Bus, binding: Binding, result: object) -> None:
    """Publish what a handler returned, confirmed.

    Raises:
        HandlerResultError: when it is neither an event nor a list or tuple of events.
    """
    if isinstance(result, Event):
        bus.publish(result)
    else:
        bus.publish_all(events_of(binding, result))


def events_of(binding: Binding, result: object) -> Sequence[Event]:
    """Return the events that a handler returned.

    Raises:
        HandlerResultError: when it is neither None nor an event nor a list or tuple of events.
    """
    if result is None:
        return ()
    if isinstance(result, Event):
        return (result,)
    if not isinstance(result, list | tuple) or not all(isinstance(each, Event) for each in result):
        raise HandlerResultError(
            f"{binding.name} returned {type(result).__name__}; return None, an event, or a list or tuple of events"
        )
    return result
