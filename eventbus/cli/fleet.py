"""Fleet: the health pages of several workers told as one; each worker serves its own on a Unix socket."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import gevent
import gevent.socket
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from eventbus.observe.health import answer
from eventbus.observe.metrics import CONTENT_TYPE

_TIMEOUT = 2.0


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("worker", timeout=_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = gevent.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT)
        self.sock.connect(self._path)


class Fleet:
    """Asks all workers at the same time.

    Args:
        sockets: path of each worker's socket, by number.
        crashes: how often each ended by itself, and badly.
    """

    def __init__(self, sockets: Mapping[int, str], crashes: Callable[[], Mapping[int, int]]) -> None:
        self._sockets = sockets
        self._crashes = crashes

    def ask(self, path: str) -> dict[int, tuple[int, str]]:
        """Return status and text of each worker; status 0 where one does not answer."""
        asked = {number: gevent.spawn(self._ask, where, path) for number, where in self._sockets.items()}
        gevent.joinall(list(asked.values()))
        return {number: each.value or (0, "no answer") for number, each in asked.items()}

    @staticmethod
    def _ask(where: str, path: str) -> tuple[int, str]:
        connection = _UnixConnection(where)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, f"no answer: {type(error).__name__}"
        finally:
            connection.close()

    def collect(self) -> Iterator[Metric]:
        """Yield the workers' metrics, each sample with the number of its worker."""
        families: dict[str, Metric] = {}
        answers = self.ask("/metrics")
        for number, (status, text) in answers.items():
            if status != 200:
                continue
            for family in text_string_to_metric_families(text):
                joined = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    joined.add_sample(sample.name, {**sample.labels, "worker": str(number)}, sample.value)
        yield from families.values()
        up = GaugeMetricFamily("eventbus_worker_up", "1 for a worker that answers.", labels=("worker",))
        crashes = CounterMetricFamily("eventbus_worker_crashes", "How often a worker crashed.", labels=("worker",))
        for number, (status, _) in answers.items():
            up.add_metric((str(number),), 1 if status == 200 else 0)
        for number, count in self._crashes().items():
            crashes.add_metric((str(number),), count)
        yield up
        yield crashes


class FleetApp:
    """The pages of all workers, as a WSGI application."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(fleet)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path == "/metrics":
            return answer(start_response, 200, generate_latest(self._registry), CONTENT_TYPE)
        if path not in ("/healthz", "/readyz"):
            return answer(start_response, 404, "there are /healthz, /readyz and /metrics")
        found = self._fleet.ask(path)
        # a worker that does not answer is being started again by the supervisor, which is alive
        bad = {number: each for number, each in found.items() if each[0] != 200 and (path == "/readyz" or each[0])}
        lines = [f"worker {number}: {text.strip()}" for number, (_, text) in bad.items()]
        return answer(start_response, 503 if bad else 200, "\n".join(lines) or ("ready" if path == "/readyz" else "alive"))
