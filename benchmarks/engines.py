"""The engines beside one another: typed events confirmed and handled, in one process. `python -m benchmarks.engines`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import gevent

from eventbus import Bus, Event, Service
from tests.nsqd import Nsqd
from tests.postgres import Cluster

PUBLISHERS = 64


class Measured(Event, topic="measured"):
    number: int
    text: str = "x" * 300


def publish(bus: Bus, count: int, publishers: int) -> float:
    """Return confirmed events a second."""
    numbers = iter(range(count))

    def one() -> None:
        for number in numbers:
            bus.publish(Measured(number=number))

    began = time.perf_counter()
    gevent.joinall([gevent.spawn(one) for _ in range(publishers)], raise_error=True)
    return count / (time.perf_counter() - began)


def handle(bus: Bus, service: Service, handled: list[int], count: int) -> float:
    """Return handled events a second."""
    began = time.perf_counter()
    bus.start(service)
    while len(handled) < count:
        gevent.sleep(0.005)
    return count / (time.perf_counter() - began)


def measure(url: str, count: int) -> tuple[float, float, float]:
    """Return events a second: confirmed to one publisher, to 64, and handled."""
    handled: list[int] = []
    service = Service("reader")
    service.on(Measured, concurrency=64)(lambda event: handled.append(event.number))
    with Bus(url) as bus:
        bus.declare(service)
        few = max(count // 10, 1)
        alone, many = publish(bus, few, 1), publish(bus, count - few, PUBLISHERS)
        return alone, many, handle(bus, service, handled, count)


def urls(stack: ExitStack, number: int, folder: Path, cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Yield name and URL of each engine, with nothing on it."""
    yield "memory://", "memory://"
    yield "sqlite://", f"sqlite:///{folder}/{number}.db"
    yield "postgresql://", f"{cluster.url}?schema=round{number}"
    nsqd = Nsqd("-mem-queue-size=1000000")
    stack.callback(nsqd.end)
    yield "nsq://", nsqd.url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where the SQLite files are: a real disk")
    options = parser.parse_args()
    rows: dict[str, list[tuple[float, float, float]]] = {}
    with ExitStack() as stack, TemporaryDirectory(dir=options.folder) as folder:
        cluster = Cluster(durable=True)
        stack.callback(cluster.end)
        for number in range(options.rounds):
            for name, url in urls(stack, number, Path(folder), cluster):
                rows.setdefault(name, []).append(measure(url, options.events))
    print(f"| engine | confirmed, one publisher | confirmed, {PUBLISHERS} publishers | handled |\n|---|---|---|---|")
    for name, found in rows.items():
        print(f"| `{name}` | " + " | ".join(f"{median(column):,.0f}/s" for column in zip(*found, strict=True)) + " |")


if __name__ == "__main__":
    main()
