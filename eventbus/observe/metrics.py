"""Metrics: what a bus did, in Prometheus' format: `bus = Bus(url, middleware=[Metrics()])`.

Counts are read from the bus when somebody asks; only durations are taken while events flow. Label values are names that the
program itself states (topics, channels, services), and their number is bounded all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from eventbus.errors import PublishError
from eventbus.middleware import Middleware, Outcome, RunObserver
from eventbus.observe.buckets import BOUNDS, Histogram, PublishSeries, RunSeries
from eventbus.observe.families import OwnFamilies
from eventbus.version import __version__
from eventbus.wire.packing import LIBRARY

if TYPE_CHECKING:
    from eventbus.bus import Bus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_LABELS = 500
"""Sets of label values for each metric; what comes after them is counted under `other`."""

_CHANNEL = ("service", "topic", "channel")
_OTHER = "other"
C = TypeVar("C")


class Backlog(Protocol):
    """What an outbox says of its rows; `eventbus.sql.Backlog` is one."""

    @property
    def waiting(self) -> int: ...
    @property
    def delayed(self) -> int: ...
    @property
    def unsettled(self) -> int: ...
    @property
    def oldest(self) -> float: ...


@runtime_checkable
class HasBacklog(Protocol):
    """An outbox; `eventbus.sql.Outbox` is one. Those of one service share its database, and so its rows."""

    source: str | None

    def backlog(self) -> Backlog:
        """Return what is still to do."""
        ...


class Metrics(Middleware):
    """Collects what the buses that it is given to do.

    Args:
        registry: where to register; one of its own unless given.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._buses: list[Bus] = []
        self._runs: dict[tuple[str, str, str], RunSeries] = {}
        self._publishes: dict[tuple[str, str], PublishSeries] = {}
        self._backlogs: dict[str, Backlog] = {}
        self._blocked: dict[tuple[str, str, str], Histogram] = {}
        self._own = OwnFamilies()
        self.registry.register(self)

    def render(self) -> bytes:
        """Return all metrics of the registry in Prometheus' text format. Safe in any thread."""
        return generate_latest(self.registry)

    # -- taken while events flow ------------------------------------------------------------------------------------

    def bind(self, bus: Bus) -> None:
        """Read this bus's counts from now on."""
        self._buses.append(bus)

    def watch(self, service: str, topic: str, channel: str) -> RunObserver:
        """Time the handlers of a channel."""
        return _series(self._runs, (service, topic, channel), RunSeries).observe

    def sent(self, source: str, topic: str, count: int, seconds: float, error: Exception | None) -> None:
        """Count a publish."""
        series = self._publishes.get((source, topic)) or _series(self._publishes, (source, topic), PublishSeries)
        series.seconds.add(seconds, count)
        if error is None:
            series.confirmed += count
        else:
            kind = type(error).__name__ if isinstance(error, PublishError) else "Error"
            series.failures[kind] = series.failures.get(kind, 0) + count

    def blocked(self, service: str, topic: str, channel: str, seconds: float) -> None:
        """Count a time in seconds for which no greenlet could run; the names of the handler's channel, or empty."""
        _series(self._blocked, (service, topic, channel), Histogram).add(seconds)

    # -- asked now and then -----------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Ask outboxes for their backlog, and attachments for metrics of their own, now and then, in the hub of the bus.
        Waits for their databases.
        """
        for bus in self._buses:
            self._own.refresh(bus.attachments)
            for part in bus.attachments:
                if isinstance(part, HasBacklog):
                    self._backlogs[part.source or bus.source] = part.backlog()

    def collect(self) -> Iterator[Metric]:
        """Yield the families; called by the registry."""
        info = GaugeMetricFamily("eventbus_info", "Version, and what packs the events.", labels=("version", "packing"))
        info.add_metric((__version__, LIBRARY), 1)
        yield info
        yield from self._publish_families()
        yield from self._channel_families()
        yield self._histograms("eventbus_handler_seconds", "Duration of handler runs that returned.", "seconds")
        yield self._histograms("eventbus_delivery_lag_seconds", "From the publish of an event to its being handled.", "lag")
        yield from self._outbox_families()
        blocked = HistogramMetricFamily(
            "eventbus_hub_blocked_seconds", "Times for which a handler let no other greenlet run.", labels=_CHANNEL
        )
        for labels, histogram in list(self._blocked.items()):
            _add(blocked, labels, histogram)
        yield blocked
        yield from self._own

    def _publish_families(self) -> Iterator[Metric]:
        labels = ("service", "topic")
        published = CounterMetricFamily("eventbus_published", "Events given to the broker.", labels=labels)
        confirmed = CounterMetricFamily("eventbus_confirmed", "Events that the broker confirmed.", labels=labels)
        failed = CounterMetricFamily(
            "eventbus_publish_failed", "Events that the broker did not confirm, by kind.", labels=(*labels, "kind")
        )
        seconds = HistogramMetricFamily("eventbus_publish_seconds", "From publish to confirmation.", labels=labels)
        for names, series in list(self._publishes.items()):
            failures = dict(series.failures)
            published.add_metric(names, series.confirmed + sum(failures.values()))
            confirmed.add_metric(names, series.confirmed)
            for kind, count in failures.items():
                failed.add_metric((*names, kind), count)
            _add(seconds, names, series.seconds)
        return iter((published, confirmed, failed, seconds))

    def _channel_families(self) -> Iterator[Metric]:
        outcomes = CounterMetricFamily(
            "eventbus_deliveries", "Deliveries by what became of them.", labels=(*_CHANNEL, "outcome")
        )
        in_flight = GaugeMetricFamily("eventbus_in_flight", "Deliveries held and not answered.", labels=_CHANNEL)
        running = GaugeMetricFamily("eventbus_running", "Handler runs going on.", labels=_CHANNEL)
        backing_off = GaugeMetricFamily("eventbus_backing_off", "1 while a channel pauses after failures.", labels=_CHANNEL)
        connected = GaugeMetricFamily("eventbus_connected", "1 while a channel has a connection.", labels=_CHANNEL)
        handled: dict[tuple[str, str, str, str], float] = {}
        gauges: dict[tuple[str, str, str], list[float]] = {}
        for dispatcher in [each for bus in self._buses for each in list(bus.dispatchers)]:
            key = (dispatcher.service.name, dispatcher.topic, dispatcher.channel)
            if key not in gauges and len(gauges) >= MOST_LABELS:
                key = (_OTHER, _OTHER, _OTHER)
            counts = {outcome: dispatcher.counts.get(outcome, 0) for outcome in Outcome}
            counts[Outcome.HANDLED] = dispatcher.handled
            for outcome, count in counts.items():
                place = (*key, outcome.value)
                handled[place] = handled.get(place, 0) + count
            subscription = dispatcher.subscription
            sums = gauges.setdefault(key, [0, 0, 0, 0])
            sums[0] += subscription.in_flight if subscription is not None else 0
            sums[1] += len(dispatcher.execution.running.by_greenlet)
            sums[2] = max(sums[2], 0 if dispatcher.flow.is_flowing else 1)
            sums[3] = max(sums[3], 1 if subscription is not None and subscription.is_connected else 0)
        for place, number in handled.items():
            outcomes.add_metric(place, number)
        for key, sums in gauges.items():
            for family, value in zip((in_flight, running, backing_off, connected), sums, strict=True):
                family.add_metric(key, value)
        return iter((outcomes, in_flight, running, backing_off, connected))

    def _histograms(self, name: str, text: str, which: str) -> Metric:
        family = HistogramMetricFamily(name, text, labels=_CHANNEL)
        for labels, series in list(self._runs.items()):
            _add(family, labels, getattr(series, which))
        return family

    def _outbox_families(self) -> Iterator[Metric]:
        rows = GaugeMetricFamily("eventbus_outbox_rows", "Rows of the outbox by state.", labels=("service", "state"))
        age = GaugeMetricFamily(
            "eventbus_outbox_age_seconds", "Age of the oldest row that is due and not published.", labels=("service",)
        )
        for service, backlog in list(self._backlogs.items()):
            for state in ("waiting", "delayed", "unsettled"):
                rows.add_metric((service, state), getattr(backlog, state))
            age.add_metric((service,), backlog.oldest)
        return iter((rows, age))


def _series(known: dict[Any, C], labels: tuple[str, ...], make: type[C]) -> C:
    if labels not in known and len(known) >= MOST_LABELS:
        labels = (_OTHER,) * len(labels)
    return known.setdefault(labels, make())


def _add(family: HistogramMetricFamily, labels: Iterable[str], histogram: Histogram) -> None:
    buckets, below = [], 0
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), list(histogram.counts), strict=True):
        below += count
        buckets.append((bound, below))
    family.add_metric(list(labels), buckets, sum_value=histogram.total)
