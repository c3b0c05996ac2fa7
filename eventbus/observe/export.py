"""Export: sends traces to a collector where OpenTelemetry's own environment variables ask for it."""

from __future__ import annotations

import os
from collections.abc import Callable

from eventbus.errors import ConfigurationError

_ASKS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def export_traces(service: str) -> Callable[[], None]:
    """Set up OpenTelemetry's SDK to send spans by OTLP over HTTP, if the environment names an endpoint; return what ends it.

    Raises:
        ConfigurationError: an endpoint is named, and the SDK is not installed.
    """
    if not any(os.environ.get(name) for name in _ASKS) or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return lambda: None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigurationError(
            f"{' or '.join(_ASKS)} is set, and OpenTelemetry's SDK is not installed: pip install 'eventbus[otlp]'"
        ) from None
    from opentelemetry import trace

    name = os.environ.get("OTEL_SERVICE_NAME") or service
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider.shutdown
