"""Metrics of the orders service. They go out on the port for health, beside the bus's: clients of the API see none."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Flask, Response, request
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from services.orders.store import OrderStore


class OrdersMetrics:
    """Counts requests and accepted orders; attached to the service, it is asked by `eventbus run --health-port`."""

    def __init__(self, store: OrderStore) -> None:
        self._store = store
        self._registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            "orders_requests", "Requests by method and status", ["method", "status"], registry=self._registry
        )
        self._accepted = Counter("orders_accepted", "Orders that were accepted", ["kind"], registry=self._registry)

    def count_requests_of(self, app: Flask) -> None:
        """Count what `app` answers from now on."""

        @app.after_request
        def count(response: Response) -> Response:
            method = request.method if request.method in ("GET", "POST") else "other"
            self._requests.labels(method, response.status_code).inc()
            return response

    def accepted(self, *, is_new: bool) -> None:
        """Count an order; one that was sent again is no new one."""
        self._accepted.labels("new" if is_new else "repeated").inc()

    def metric_families(self) -> Iterator[Metric]:
        """Yield the counters of this process, and the orders by status, of which all replicas tell the same."""
        yield from self._registry.collect()
        by_status = GaugeMetricFamily("orders", "Orders by status", labels=["status"])
        for status, count in self._store.counts().items():
            by_status.add_metric([status], count)
        yield by_status

    def start(self, bus: object) -> None:
        """Nothing to start: it is asked."""

    def stop_intake(self) -> None:
        """Nothing to stop."""

    def stop(self, timeout: float) -> None:
        """Nothing to stop."""

    def is_idle(self) -> bool:
        """It does nothing by itself."""
        return True
