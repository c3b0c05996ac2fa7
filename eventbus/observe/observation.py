"""Observation: all that a running bus tells, put together as `eventbus run` uses it: logs, metrics, traces, health pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent

from eventbus.middleware import Middleware
from eventbus.observe.export import export_traces
from eventbus.observe.health import Health, HealthPages, HealthServer
from eventbus.observe.hub import LIMIT, HubWatch
from eventbus.observe.logs import LogFormat, configure_logs
from eventbus.observe.metrics import Metrics
from eventbus.observe.tracing import Tracing
from eventbus.outcomes import Telling
from eventbus.runtime.guarded_log import guarded_log

if TYPE_CHECKING:
    from eventbus.bus import Bus

log = guarded_log("eventbus.observe")

_REFRESH = 5.0
"""Seconds between two questions to the outboxes."""


class Observation:
    """Make it first, give its `middleware` to the bus, and start it with the bus.

    Args:
        log_format, log_level: as `configure_logs` takes them.
        service: name under which traces are sent.
        blocking_limit: seconds without a switch that are reported.

    Raises:
        ConfigurationError: a wrong format or level, or traces are to be sent and the SDK is not installed.
    """

    def __init__(
        self,
        *,
        log_format: LogFormat = "auto",
        log_level: str = "info",
        service: str = "eventbus",
        blocking_limit: float = LIMIT,
    ) -> None:
        configure_logs(format=log_format, level=log_level)
        self._end_traces = export_traces(service)
        self.metrics = Metrics()
        self._telling = Telling()
        self.middleware: tuple[Middleware, ...] = (Tracing(), self.metrics, self._telling)
        self._blocking_limit = blocking_limit
        self._watch: HubWatch | None = None
        self._health: Health | None = None
        self._server: HealthServer | None = None
        self._refresher: gevent.Greenlet[[], None] | None = None

    def start(self, bus: Bus, *, where: str | None = None) -> None:
        """Watch the hub of `bus`, and serve the health pages on `where`: `host:port`, or the path of a Unix socket.

        Raises:
            ConfigurationError: the address cannot be had.
        """
        self._watch = HubWatch(bus, self.metrics, limit=self._blocking_limit)
        self._watch.start()
        self._health = Health(bus, self._watch)
        if where is not None:
            self._server = HealthServer(HealthPages(self._health, self.metrics), where)
            if self._server.port:
                log.info("health pages and metrics on %s", where.rpartition(":")[0] + f":{self._server.port}")
        self._refresher = gevent.spawn(self._refresh)
        bus.attach(self._telling)

    def started(self) -> None:
        """Say that the services have started: ready from now on."""
        if self._health is not None:
            self._health.is_started = True

    def stop(self) -> None:
        """End all of it; what was traced is sent. Idempotent."""
        if self._refresher is not None:
            self._refresher.kill()
        if self._server is not None:
            self._server.stop()
        if self._watch is not None:
            self._watch.stop()
        self._end_traces()

    def _refresh(self) -> None:
        while True:
            try:
                self.metrics.refresh()
            except Exception as error:  # a database that is away is told by others
                log.debug("the outbox could not be asked for its backlog: %s", error)
            gevent.sleep(_REFRESH)
