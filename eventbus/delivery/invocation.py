"""Invocation: one run of a handler, with its cause, its middleware and the publishing of what it returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eventbus.context import Context, current_cause
from eventbus.delivery.host import Host
from eventbus.delivery.received import Received
from eventbus.errors import HandlerResultError
from eventbus.event import Event
from eventbus.handlers.binding import Binding
from eventbus.middleware import Middleware


def plain_call(binding: Binding, service: str) -> Callable[[Sequence[Received]], None]:
    """Return what runs the handler on one item, or on the items of a batch."""
    handler = binding.handler
    wants_context = binding.wants_context
    set_cause = current_cause.set

    def call(items: Sequence[Received]) -> None:
        item = items[0]
        set_cause((item.envelope, service))
        result = handler(item.event, item.context) if wants_context else handler(item.event)
        if result is not None:
            publish_result(item.source.host, binding, result)

    def call_batch(items: Sequence[Received]) -> None:
        set_cause((items[0].envelope, service))
        events = [each.event for each in items]
        result = handler(events, [each.context for each in items]) if wants_context else handler(events)
        if result is not None:
            publish_result(items[0].source.host, binding, result)

    return call if binding.batch is None else call_batch


def inbox_call(binding: Binding, service: str) -> Callable[[Sequence[Received]], None]:
    """Return what runs the handler through its inbox."""
    run = _inbox_runner(binding)

    def call(items: Sequence[Received]) -> None:
        current_cause.set((items[0].envelope, service))
        run(items)

    return call


def _inbox_runner(binding: Binding) -> Callable[[Sequence[Received]], None]:
    inbox = binding.inbox
    assert inbox is not None
    is_batch = binding.batch is not None

    def run(items: Sequence[Received]) -> None:
        def call(positions: Sequence[int], contexts: Sequence[Context]) -> Sequence[Event]:
            event: Any = [items[position].event for position in positions] if is_batch else items[0].event
            context: Any = list(contexts) if is_batch else contexts[0]
            return events_of(binding, binding.handler(event, context) if binding.wants_context else binding.handler(event))

        inbox.handle([item.context for item in items], call)

    return run


def wrapped_call(binding: Binding, service: str, middleware: Sequence[Middleware]) -> Callable[[Sequence[Received]], None]:
    """The same through middleware, the first of which is the outermost."""
    is_batch = binding.batch is not None
    through_inbox = None if binding.inbox is None else _inbox_runner(binding)

    def call(items: Sequence[Received]) -> None:
        first = items[0]
        current_cause.set((first.envelope, service))

        def innermost(event: Any, context: Context) -> Any:
            if through_inbox is not None:
                through_inbox(items)
                return None
            if binding.wants_context:
                result = binding.handler(event, [each.context for each in items] if is_batch else context)
            else:
                result = binding.handler(event)
            if result is not None:
                publish_result(first.source.host, binding, result)
            return result

        proceed: Callable[[Any, Context], Any] = innermost
        for layer in reversed(middleware):
            proceed = _layer(layer, proceed)
        proceed([each.event for each in items] if is_batch else first.event, first.context)

    return call


def _layer(middleware: Middleware, proceed: Callable[[Any, Context], Any]) -> Callable[[Any, Context], Any]:
    return lambda event, context: middleware.handle(event, context, proceed)


def publish_result(host: Host, binding: Binding, result: object) -> None:
    """Publish what a handler returned, confirmed.

    Raises:
        HandlerResultError: when it is neither an event nor a list or tuple of events.
    """
    if isinstance(result, Event):
        host.publish(result)
    else:
        host.publish_all(events_of(binding, result))


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
