"""Service: a named set of handlers. Its name is its channel on every topic that it binds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, TypeVar, overload

from eventbus.attachments import Attachment, InboxLike
from eventbus.backoff import Backoff
from eventbus.context import Context
from eventbus.errors import ConfigurationError, HandlerDefinitionError
from eventbus.event import Event, event_info, event_topic
from eventbus.handlers.binders import BatchBinder, Binder
from eventbus.handlers.binding import Batch, Binding
from eventbus.handlers.policy import check_policy
from eventbus.handlers.signatures import check_signature
from eventbus.names import check_name, dead_letter_topic
from eventbus.retry import Retry

E = TypeVar("E", bound=Event)
C = TypeVar("C", bound=Context)


def _beginning(name: str, begin: str | datetime) -> float:
    """Return an instant in seconds since 1970; 0 for the earliest."""
    if begin == "earliest":
        return 0.0
    try:
        instant = datetime.fromisoformat(begin) if isinstance(begin, str) else begin
        if instant.tzinfo is not None:
            return max(instant.timestamp(), 0.0)
    except (ValueError, AttributeError):
        pass
    raise ConfigurationError(
        f"Service({name!r}, begin={begin!r}): give 'earliest' or an instant with its zone, such as '2026-11-01T00:00Z'"
    )


class Service:
    """A named set of handlers: `Service("fulfillment")`. Replicas of a service share its channel and take turns.

    Args:
        name: the channel on every topic bound; must stay the same for ever, as the channel is the queue.
        unhandled: what becomes of an event on a bound topic that no handler is bound to: "finish" it unread, or "park" it.
        backoff: when the channel pauses because everything fails.
        max_in_flight: most deliveries held at a time on each topic, running and waiting; None for the bus's default.
        channel: another channel than the name, as for the worker pattern (topic `email`, channel `default`).
        instance: name of this worker among the replicas, for people; the service's name unless given.
        begin: where a channel that is new begins on an engine that keeps past events: "earliest", an instant as
            "2026-11-01T00:00Z" or a datetime (aware). It gets the past first, and what is new after it. A channel that is
            there stays where it is.
    """

    def __init__(
        self,
        name: str,
        *,
        unhandled: Literal["finish", "park"] = "finish",
        backoff: Backoff | None = None,
        max_in_flight: int | None = None,
        channel: str | None = None,
        instance: str | None = None,
        begin: str | datetime | None = None,
    ) -> None:
        self.begin = None if begin is None else _beginning(name, begin)
        self.instance = instance or name
        self.name = check_name(name, kind="channel")
        self.channel = check_name(channel, kind="channel") if channel is not None else self.name
        if unhandled not in ("finish", "park"):
            raise ConfigurationError(f"Service({name!r}, unhandled={unhandled!r}): give 'finish' or 'park'")
        if max_in_flight is not None and max_in_flight < 1:
            raise ConfigurationError(f"Service({name!r}, max_in_flight={max_in_flight!r}): give 1 or more")
        self.unhandled = unhandled
        self.backoff = backoff or Backoff()
        self.max_in_flight = max_in_flight
        self._bindings: dict[tuple[str, str], Binding] = {}
        self._attachments: list[Attachment[Any]] = []

    def __repr__(self) -> str:
        return f"<Service {self.name} on {', '.join(self.topics) or 'no topic'}>"

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """All handlers in the order in which they were bound."""
        return tuple(self._bindings.values())

    @property
    def client(self) -> str:
        """Its name among the clients of a broker: `fulfillment@web-3/1`."""
        return self.name if self.instance == self.name else f"{self.name}@{self.instance}"

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics bound, each once."""
        return tuple(dict.fromkeys(topic for topic, _ in self._bindings))

    @property
    def attachments(self) -> tuple[Attachment[Any], ...]:
        """What starts and stops with this service: its inboxes, and what was given to `attach`; each once."""
        inboxes = [binding.inbox for binding in self.bindings if binding.inbox is not None]
        return tuple({id(each): each for each in [*self._attachments, *inboxes]}.values())

    def attach(self, *attachments: Attachment[Any]) -> None:
        """Let an outbox, a server or the like start and stop with this service."""
        self._attachments.extend(attachments)

    def replica(self, instance: str | None = None, *, concurrency: int | None = None) -> Service:
        """Return another worker of this service: same name, channel and handlers, and a name of its own for people.

        Args:
            concurrency: most runs of each handler at a time, instead of what was bound.
        """
        twin = Service(
            self.name,
            unhandled=self.unhandled,
            backoff=self.backoff,
            max_in_flight=self.max_in_flight,
            channel=self.channel,
            instance=instance or self.instance,
        )
        twin.begin = self.begin
        twin._bindings = dict(self._bindings)
        if concurrency is not None:
            twin._bindings = {key: replace(each, concurrency=concurrency) for key, each in self._bindings.items()}
        twin._attachments = list(self._attachments)
        return twin

    @overload
    def on(
        self,
        event_type: type[E],
        *,
        retry: Retry | None = ...,
        concurrency: int = ...,
        timeout: float = ...,
        batch: None = ...,
        inbox: None = ...,
        dry_run: bool = ...,
    ) -> Binder[E, Context]: ...
    @overload
    def on(
        self,
        event_type: type[E],
        *,
        retry: Retry | None = ...,
        concurrency: int = ...,
        timeout: float = ...,
        batch: Batch,
        inbox: None = ...,
        dry_run: bool = ...,
    ) -> BatchBinder[E, Context]: ...
    @overload
    def on(
        self,
        event_type: type[E],
        *,
        retry: Retry | None = ...,
        concurrency: int = ...,
        timeout: float = ...,
        batch: None = ...,
        inbox: InboxLike[C],
        dry_run: bool = ...,
    ) -> Binder[E, C]: ...
    @overload
    def on(
        self,
        event_type: type[E],
        *,
        retry: Retry | None = ...,
        concurrency: int = ...,
        timeout: float = ...,
        batch: Batch,
        inbox: InboxLike[C],
        dry_run: bool = ...,
    ) -> BatchBinder[E, C]: ...
    def on(
        self,
        event_type: type[E],
        *,
        retry: Retry | None = None,
        concurrency: int = 64,
        timeout: float = 60.0,
        batch: Batch | None = None,
        inbox: InboxLike[Any] | None = None,
        dry_run: bool = False,
    ) -> Any:
        """Bind a handler to an event; the handler takes `(event)` or `(event, context)`.

        With `batch` it takes a list of events, and a list of contexts if it wants them. With `inbox` it runs inside a
        transaction that also claims the event, so that a redelivered event has its effect once; its context is the
        inbox's, with the transaction's connection. With `dry_run` it says that dead letters may be tried on it: all its
        effects go through the inbox's connection, or it looks at `context.is_dry_run` and has none then.

        Raises:
            HandlerDefinitionError: when the handler does not fit, or this event has a handler here already.
        """
        if not (isinstance(event_type, type) and issubclass(event_type, Event)):
            raise HandlerDefinitionError(f"{self.name}: on({event_type!r}): give a class derived from eventbus.Event")
        check_policy(
            f"{self.name}: on({event_type.__name__})",
            retry=retry,
            concurrency=concurrency,
            timeout=timeout,
            batch=batch,
            inbox=inbox,
        )
        topic = event_topic(event_type)
        name = event_info(event_type).name
        dead_letter_topic(topic, self.channel)

        def bind(handler: Callable[..., Any]) -> None:
            if (topic, name) in self._bindings:
                there = self._bindings[topic, name].name
                raise HandlerDefinitionError(
                    f"{self.name}: {name} on {topic!r} is handled by {there} already; call both from one handler"
                )
            wants_context = check_signature(
                handler,
                event_type,
                is_batch=batch is not None,
                service=self.name,
                context_type=Context if inbox is None else inbox.context_type,
            )
            if dry_run and inbox is None and not wants_context:
                raise HandlerDefinitionError(
                    f"{self.name}: {name} on {topic!r}: dry_run=True needs an inbox, whose transaction is taken back, or a "
                    "handler that takes a context and has no effect where context.is_dry_run"
                )
            self._bindings[topic, name] = Binding(
                event_type=event_type,
                topic=topic,
                type_name=name,
                handler=handler,
                wants_context=wants_context,
                retry=Retry() if retry is None else retry,
                concurrency=concurrency,
                timeout=timeout,
                batch=batch,
                inbox=inbox,
                dry_run=dry_run,
            )

        return Binder(bind) if batch is None else BatchBinder(bind)
