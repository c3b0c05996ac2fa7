"""What it costs a service to tell of its deliveries, while nobody listens and while somebody does.

With metrics and logs, as `eventbus run` has them. In events a second of the process's own CPU time, and of the best part of
a run: what is compared differs by less than a busy machine does from one second to the next. A part is long enough to have
batches sent in it. `python -m benchmarks.telling listen|consume URL ...` is a role.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import gevent
import gevent.event

from benchmarks.nsqd import ROOT, Server
from benchmarks.order import OrderPlaced
from benchmarks.rows import Row, compare
from eventbus import Bus, Service
from eventbus.event import event_topic
from eventbus.observe import Metrics
from eventbus.observe.logs import configure_logs
from eventbus.outcomes import Telling, listen

TOPIC = event_topic(OrderPlaced)
_EVENTS = 400_000
_PART = 100_000
_MODULE = "benchmarks.telling"


def rows(nsqd: Server, rounds: int) -> list[Row]:
    """Measure both."""

    def consume(mode: str) -> Callable[[], float]:
        def measure() -> float:
            nsqd.fresh(TOPIC, "bench")
            nsqd.role("fill", _EVENTS)
            return float(nsqd.role("consume", _EVENTS, mode, module=_MODULE))

        return measure

    def told() -> float:
        with _listener(nsqd):
            return consume("told")()

    name, unit = "consume typed, 64 handlers", "events/s of CPU"
    return [
        compare(
            f"{name}, nobody listens",
            consume("silent"),
            "a bus that tells nobody",
            consume("bare"),
            rounds=rounds,
            unit=unit,
            goal=0.98,
        ),
        compare(f"{name}, listened to", told, "nobody listens", consume("silent"), rounds=rounds, unit=unit, goal=0.95),
    ]


@contextmanager
def _listener(nsqd: Server) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", _MODULE, "listen", nsqd.url], cwd=ROOT)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _listen(url: str) -> None:
    """Listen, as a page does, until the process is killed."""
    with Bus(url, source="page") as bus:
        listen(bus, lambda batch: None, "page")
        gevent.event.Event().wait()


def _consume(url: str, count: str, mode: str) -> None:
    """Handle `count` typed events; print events a second of CPU time, of the best part.

    Args:
        mode: `bare` for a bus that cannot tell, `silent` for one to which nobody listens, `told` where somebody does.
    """
    wanted, marks = int(count), [0.0]
    handled = 0
    service = Service("bench")
    done = gevent.event.Event()

    @service.on(OrderPlaced, concurrency=64)
    def handle(order: OrderPlaced) -> None:
        nonlocal handled
        handled += 1
        if handled % _PART == 0:
            marks.append(time.process_time())
            if handled == wanted:
                done.set()

    configure_logs(format="json", level="info")
    telling = Telling()
    with Bus(url, middleware=[Metrics()] if mode == "bare" else [Metrics(), telling]) as bus:
        if mode != "bare":
            bus.attach(telling)
        while mode == "told" and not telling.is_on:
            gevent.sleep(0.01)
        marks[0] = time.process_time()
        bus.start(service)
        done.wait()
    print(_PART / min(after - before for before, after in pairwise(marks)))


if __name__ == "__main__":
    {"listen": _listen, "consume": _consume}[sys.argv[1]](*sys.argv[2:])
