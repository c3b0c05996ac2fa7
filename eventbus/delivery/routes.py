"""Routes: from the type name of an event to the handler bound to it, and the small decisions on the way there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from pydantic import ValidationError

from eventbus.delivery.batches import Batcher
from eventbus.delivery.invocation import inbox_call, plain_call, wrapped_call
from eventbus.delivery.received import Received
from eventbus.handlers.binding import Binding
from eventbus.middleware import Middleware
from eventbus.runtime.clock import Clock


class Route:
    """One binding at work: its validator, how many of its runs go on, and what waits for a free one.

    Args:
        release: runs a full batch of this route in a worker.
    """

    __slots__ = ("attempts", "batcher", "binding", "call", "known_fields", "running", "validate", "waiting")

    def __init__(
        self,
        binding: Binding,
        service: str,
        middleware: Sequence[Middleware],
        clock: Clock,
        release: Callable[[Route, Sequence[Received]], None],
    ) -> None:
        self.binding = binding
        self.attempts = binding.retry.attempts
        self.validate = binding.event_type.__pydantic_validator__.validate_python
        self.known_fields = len(binding.event_type.model_fields)
        layers = [each for each in middleware if each.wants("handle")]
        if layers:
            self.call = wrapped_call(binding, service, layers)
        else:
            self.call = plain_call(binding, service) if binding.inbox is None else inbox_call(binding, service)
        self.running = 0
        self.waiting: deque[Received] = deque()
        self.batcher: Batcher[Received] | None = None
        if binding.batch is not None:
            self.batcher = Batcher(binding.batch, clock, lambda items: release(self, items))


def first_fault(error: BaseException) -> str:
    """Return the first thing wrong with the data, by field and without the value. Never raises."""
    if not isinstance(error, ValidationError):
        return f"a validator of the class raised {type(error).__name__}"
    try:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in fault["loc"]) or "data"
        more = error.error_count() - 1
        return f"field {place}: {fault['msg']}" + (f" (and {more} more)" if more else "")
    except Exception as odd:
        return f"its faults cannot be told: {type(odd).__name__}"
