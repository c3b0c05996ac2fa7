"""What a running bus tells: metrics for Prometheus, traces for OpenTelemetry, logs for people and machines.

Each part can be used alone, as middleware of a bus; `Observation` puts all of them together, as `eventbus run` does. Needs
the extra `eventbus[observe]`.
"""

from eventbus.observe.families import HasFamilies
from eventbus.observe.health import Health, HealthPages, HealthServer
from eventbus.observe.hub import HubWatch
from eventbus.observe.logs import configure_logs
from eventbus.observe.metrics import Metrics
from eventbus.observe.observation import Observation
from eventbus.observe.tracing import TracedApp, Tracing

__all__ = [
    "HasFamilies",
    "Health",
    "HealthPages",
    "HealthServer",
    "HubWatch",
    "Metrics",
    "Observation",
    "TracedApp",
    "Tracing",
    "configure_logs",
]
