"""Record: what a harness saw of its services, and the failures that it puts in their place."""

from __future__ import annotations

from typing import Any

from eventbus.context import Context
from eventbus.middleware import Middleware, Outcome
from eventbus.wire.envelope import Envelope


class InjectedFailure(Exception):  # noqa: N818 - no error of the program
    """Raised in a handler's place by `fail_next`."""


class Recorder(Middleware):
    """Middleware that notes everything."""

    def __init__(self) -> None:
        self.published: list[tuple[str, Envelope]] = []
        self.handled: list[tuple[str, str, Envelope]] = []
        self.outcomes: list[tuple[Outcome, str, Envelope]] = []
        self.failures: list[tuple[Context, BaseException]] = []
        self.injected: list[BaseException] = []
        self.failing: list[tuple[str | None, str | None, BaseException]] = []

    def last(self) -> str:
        """Return the last outcome in words; empty where there is none."""
        if not self.outcomes:
            return ""
        outcome, service, envelope = self.outcomes[-1]
        return f"{outcome.value}: {envelope.type} {envelope.id} in {service}"

    def publish(self, topic: str, envelope: Envelope, proceed: Any) -> None:
        proceed(topic, envelope)
        self.published.append((topic, envelope))

    def handle(self, event: Any, context: Context, proceed: Any) -> Any:
        for index, (service, type_name, error) in enumerate(self.failing):
            if service in (None, context.service) and type_name in (None, context.event_type):
                del self.failing[index]
                self.injected.append(error)
                raise error
        return proceed(event, context)

    def settled(self, outcome: Outcome, context: Context, error: BaseException | None) -> None:
        self.outcomes.append((outcome, context.service, context.envelope))
        if outcome is Outcome.HANDLED:
            self.handled.append((context.service, context.topic, context.envelope))
        if error is not None and not any(error is each for each in self.injected):
            self.failures.append((context, error))
