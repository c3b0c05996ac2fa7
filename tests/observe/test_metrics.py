from __future__ import annotations

from collections.abc import Callable
from time import time

import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from eventbus import Bus, Event, Reject, RetryLater, Service
from eventbus.attachments import OnStart
from eventbus.errors import NotSent
from eventbus.observe import Metrics
from eventbus.observe.buckets import BOUNDS, RunSeries
from eventbus.observe.metrics import MOST_LABELS
from eventbus.sql import Database, Outbox, metadata
from eventbus.wire.envelope import Envelope
from eventbus.wire.identity import InstantWriter
from tests.waiting import eventually


class Counted(Event, topic="counted", version=1):
    number: int


def value(metrics: Metrics, name: str, *labels: str) -> float | None:
    """The sample with these values of labels, in any order, as Prometheus' own parser reads it."""
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            if sample.name == name and sorted(sample.labels.values()) == sorted(labels):
                return sample.value
    return None


def test_every_outcome_is_counted_by_service_topic_and_channel() -> None:
    metrics = Metrics()
    service = Service("reader")
    seen: list[int] = []
    where = ("reader", "counted", "reader")

    @service.on(Counted)
    def handle(event: Counted) -> None:
        seen.append(event.number)
        if event.number == 1:
            raise Reject("no")
        if event.number == 2 and seen.count(2) == 1:
            raise RetryLater(after=0.0)

    with Bus("memory://", source="writer", middleware=[metrics]) as bus:
        bus.start(service)
        assert value(metrics, "eventbus_connected", *where) == 1
        assert value(metrics, "eventbus_backing_off", *where) == 0
        bus.publish_all([Counted(number=number) for number in range(10)])
        bus.publish(Counted(number=10))
        eventually(lambda: len(seen) == 12)
        eventually(lambda: value(metrics, "eventbus_in_flight", "reader", "counted", "reader") == 0)
    assert value(metrics, "eventbus_published_total", "writer", "counted") == 11
    assert value(metrics, "eventbus_confirmed_total", "writer", "counted") == 11
    assert value(metrics, "eventbus_deliveries_total", *where, "handled") == 10
    assert value(metrics, "eventbus_deliveries_total", *where, "parked") == 1
    assert value(metrics, "eventbus_deliveries_total", *where, "postponed") == 1
    assert value(metrics, "eventbus_handler_seconds_count", *where) == 10
    assert value(metrics, "eventbus_delivery_lag_seconds_count", *where) == 10


def test_a_publish_that_fails_is_counted_by_its_kind() -> None:
    metrics = Metrics()
    with Bus("memory://?max_depth=1&when_full=raise", source="writer", middleware=[metrics]) as bus:
        bus.publish(Counted(number=1))
        with pytest.raises(NotSent):
            bus.publish(Counted(number=2))
        with pytest.raises(NotSent):
            bus.publish_all([Counted(number=3), Counted(number=4)])
    assert value(metrics, "eventbus_published_total", "writer", "counted") == 4
    assert value(metrics, "eventbus_confirmed_total", "writer", "counted") == 1
    assert value(metrics, "eventbus_publish_failed_total", "writer", "counted", "NotSent") == 3


def test_the_lag_is_that_since_the_publish() -> None:
    series = RunSeries()
    write = InstantWriter().write
    for age in (0.02, 0.02, 7.0, 400.0):
        series.observe(Envelope("i", "s", "T", write(time() - age), None), 1.0, 1.003)
    series.observe(Envelope("i", "s", "T", "2026-01-31T12:00:00+01:00", None), 1.0, 1.003)  # months ago, another zone
    series.observe(Envelope("i", "s", "T", write(time() + 60), None), 1.0, 1.003)  # a clock that is ahead
    series.observe(Envelope("i", "s", "T", "yesterday", None), 1.0, 1.003)  # no time at all
    by_bound = dict(zip((*BOUNDS, None), series.lag.counts, strict=True))
    assert by_bound[0.025] == 2
    assert by_bound[10.0] == 1
    assert by_bound[None] == 2
    assert by_bound[0.001] == 1
    assert series.seconds.counts[BOUNDS.index(0.005)] == 7


def test_label_sets_are_bounded() -> None:
    metrics = Metrics()
    for number in range(MOST_LABELS + 50):
        metrics.sent("writer", f"topic{number}", 1, 0.001, None)
    assert metrics.render().decode().count("eventbus_confirmed_total{") == MOST_LABELS + 1
    assert value(metrics, "eventbus_confirmed_total", "other", "other") == 50


def test_the_outbox_tells_its_backlog(new_database: Callable[[], Database]) -> None:
    metrics = Metrics()
    database = new_database()
    outbox = Outbox(database, source="shop")
    with Bus("memory://", middleware=[metrics]) as bus:
        database.create_tables(metadata)
        bus.attach(outbox)
        database.transact(lambda connection: outbox.add(connection, Counted(number=1), delay=60.0))
        metrics.refresh()
    assert value(metrics, "eventbus_outbox_rows", "shop", "delayed") == 1
    assert value(metrics, "eventbus_outbox_age_seconds", "shop") == 0.0


class Shelf(OnStart):
    """An attachment with metrics of its own."""

    def __init__(self, *families: Metric) -> None:
        super().__init__(lambda: None)
        self.families = list(families)
        self.fault: Exception | None = None

    def metric_families(self) -> list[Metric]:
        if self.fault is not None:
            raise self.fault
        return self.families


def books(shelf: str, count: int, name: str = "books") -> Metric:
    family = GaugeMetricFamily(name, "Books on a shelf", labels=["shelf"])
    family.add_metric([shelf], count)
    return family


def test_what_is_attached_tells_metrics_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    first, second, forger = Shelf(books("a", 1)), Shelf(books("b", 2)), Shelf(books("c", 3, "eventbus_info"))
    with Bus("memory://", middleware=[metrics]) as bus:
        for each in (first, second, forger):
            bus.attach(each)
        metrics.refresh()
        assert (value(metrics, "books", "a"), value(metrics, "books", "b")) == (1, 2)
        assert metrics.render().decode().count("# TYPE books gauge") == 1
        assert metrics.render().decode().count("eventbus_info{") == 1
        first.families, second.fault = [books("a", 5)], KeyError("away\x1b[31m")
        for _ in range(3):
            metrics.refresh()
    assert (value(metrics, "books", "a"), value(metrics, "books", "b")) == (5, 2)
    told = [each.getMessage() for each in caplog.records]
    assert len(told) == 2, told
    assert "names that begin with eventbus_ are the library's" in told[0]
    assert "\x1b" not in told[1]


def test_a_source_of_too_many_samples_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    family = GaugeMetricFamily("orders", "By id", labels=["id"])
    for number in range(10_001):
        family.add_metric([str(number)], 1)
    with Bus("memory://", middleware=[metrics]) as bus:
        bus.attach(Shelf(family))
        metrics.refresh()
    assert "orders{" not in metrics.render().decode()
    assert "use labels with few values" in caplog.text
