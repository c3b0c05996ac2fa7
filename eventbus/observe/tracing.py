"""Tracing: a span for each publish and one for each handling, joined through `traceparent` in the envelope.

Needs opentelemetry-api; the program decides about an SDK and sets its tracer provider before it makes the bus. Without one
nothing is traced and nothing is spent, and the traces of others are carried on all the same. Attributes follow the semantic
conventions for messaging, https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/, without data of events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.propagate import get_global_textmap
from opentelemetry.trace import Link, ProxyTracerProvider, Span, SpanKind, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from eventbus.context import Context
from eventbus.errors import Verdict
from eventbus.middleware import Middleware
from eventbus.version import __version__
from eventbus.wire.envelope import Envelope

if TYPE_CHECKING:
    from eventbus.bus import Bus

_HEADER = "traceparent"
_w3c = TraceContextTextMapPropagator()


class Tracing(Middleware):
    """Makes the spans: `Bus(url, middleware=[Tracing()])`.

    Args:
        provider: where spans go; the global one unless given.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._provider = provider
        self._system = "nsq"

    def bind(self, bus: Bus) -> None:
        """Name the spans after the engine of this bus."""
        self._system = "nsq" if bus.engine.scheme.startswith("nsq") else bus.engine.scheme

    def wants(self, hook: str) -> bool:
        """Nothing, while nobody collects spans."""
        return super().wants(hook) and is_recording(self._provider)

    def enqueue(self, topic: str, envelope: Envelope) -> None:
        """Begin the event's way where it is added to an outbox: what is sent later belongs to the trace of now."""
        with self._span("create", topic, envelope, SpanKind.PRODUCER) as span:
            envelope.traceparent = _written(span) or envelope.traceparent

    def publish(self, topic: str, envelope: Envelope, proceed: Callable[[str, Envelope], None]) -> None:
        """A span until the engine has confirmed. What lay in an outbox goes on in the trace that put it there."""
        is_fresh = trace.get_current_span().get_span_context().is_valid
        parent = None if is_fresh else _read(envelope.traceparent)
        with self._span("send", topic, envelope, SpanKind.PRODUCER, parent=parent) as span:
            envelope.traceparent = _written(span) or envelope.traceparent
            proceed(topic, envelope)

    def handle(self, event: Any, context: Context, proceed: Callable[[Any, Context], Any]) -> Any:
        """A span for the handler's run, child of the span that sent the event."""
        parent = _read(context.traceparent)
        with self._span("process", context.topic, context.envelope, SpanKind.CONSUMER, parent=parent) as span:
            span.set_attribute("messaging.consumer.group.name", context.channel)
            span.set_attribute("eventbus.service", context.service)
            span.set_attribute("eventbus.attempt", context.attempt)
            if isinstance(event, list):
                span.set_attribute("messaging.batch.message_count", len(event))
            return proceed(event, context)

    def _span(
        self, verb: str, topic: str, envelope: Envelope, kind: SpanKind, *, parent: otel_context.Context | None = None
    ) -> _Running:
        attributes = {
            "messaging.system": self._system,
            "messaging.operation.name": verb,
            "messaging.operation.type": verb,
            "messaging.destination.name": topic,
            "messaging.message.id": envelope.id,
            "messaging.message.conversation_id": envelope.correlation_id,
            "eventbus.event.type": envelope.type,
        }
        return _Running(_tracer(self._provider), f"{verb} {topic}", kind, attributes, parent)


class TracedApp:
    """Wraps a WSGI application, so that each request is a span and what it publishes is in its trace.

    `WebServer(TracedApp(app))`. The span is named after the method and what `route` says of the request, which must have
    few values: a path with an order's id in it has too many.
    """

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        *,
        route: Callable[[Mapping[str, Any]], str] = lambda environ: "",
        provider: TracerProvider | None = None,
    ) -> None:
        self._app = app
        self._route = route
        self._provider = provider

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not is_recording(self._provider):
            return self._app(environ, start_response)
        method, route = str(environ.get("REQUEST_METHOD", "")), self._route(environ)
        headers = {name: str(environ.get(f"HTTP_{name.upper()}", "")) for name in (_HEADER, "tracestate", "baggage")}
        parent = get_global_textmap().extract({name: value for name, value in headers.items() if value})
        attributes = {"http.request.method": method, "url.path": str(environ.get("PATH_INFO", ""))}
        if route:
            attributes["http.route"] = route
        running = _Running(_tracer(self._provider), f"{method} {route}".strip(), SpanKind.SERVER, attributes, parent)
        with running as span:

            def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
                code = int(status.split(" ", 1)[0])
                span.set_attribute("http.response.status_code", code)
                if code >= 500:
                    span.set_status(StatusCode.ERROR)
                return start_response(status, headers, *more)

            return self._app(environ, start)


class _Running:
    """A span that is the current one inside a `with` block; ends with the type of the error that left the block."""

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, str],
        parent: otel_context.Context | None,
    ) -> None:
        remote = None if parent is None else trace.get_current_span(parent).get_span_context()
        links = [Link(remote)] if remote is not None and remote.is_valid and kind is SpanKind.CONSUMER else None
        self._span = tracer.start_span(name, context=parent, kind=kind, attributes=attributes, links=links)
        self._token: Any = None

    def __enter__(self) -> Span:
        self._token = otel_context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, stack: object) -> None:
        otel_context.detach(self._token)
        if error is not None:
            self._span.set_attribute("error.type", type(error).__name__)
            if not isinstance(error, Verdict):  # the text of an error may quote the event
                self._span.set_status(StatusCode.ERROR, type(error).__name__)
        self._span.end()


def is_recording(provider: TracerProvider | None = None) -> bool:
    """Whether spans go anywhere."""
    return provider is not None or not isinstance(trace.get_tracer_provider(), ProxyTracerProvider)


def _tracer(provider: TracerProvider | None) -> Tracer:
    return trace.get_tracer("eventbus", __version__, tracer_provider=provider)


def _read(traceparent: str | None) -> otel_context.Context | None:
    return None if traceparent is None else _w3c.extract({_HEADER: traceparent}, context=otel_context.Context())


def _written(span: Span) -> str | None:
    carrier: dict[str, str] = {}
    _w3c.inject(carrier, context=trace.set_span_in_context(span))
    return carrier.get(_HEADER)
