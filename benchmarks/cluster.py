"""The NSQ engine beside its peers, on one nsqd: gnsq, pynsq, go-nsq and the limits."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from benchmarks import telling
from benchmarks.nsqd import ROOT, Server, server
from benchmarks.order import SERVICE, caused, make_order
from benchmarks.roles import TOPIC
from benchmarks.rows import Row, compare
from eventbus import Bus

_EVENTS = 200_000
_TO_CONSUME = 400_000  # so that connecting does not count
_GO = ROOT / ".cache" / "peers"


def _build_go() -> bool:
    """Build the Go peers, where Go is installed."""
    if shutil.which("go") is None:
        return False
    subprocess.run(["go", "build", "-o", str(_GO), "."], cwd=ROOT / "benchmarks" / "peers", check=True)
    return True


def _go(*arguments: object, processors: int) -> float:
    done = subprocess.run(
        [str(_GO), *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "GOMAXPROCS": str(processors)},
    )
    return float(done.stdout)


def _best_go(prepare: Callable[[], object], *arguments: object) -> float:
    """Return the better figure of GOMAXPROCS 1 and all."""
    figures = []
    for processors in (1, os.cpu_count() or 1):
        prepare()
        figures.append(_go(*arguments, processors=processors))
    return max(figures)


def rows(rounds: int) -> list[Row]:
    """Measure the NSQ engine."""
    has_go = _build_go()
    with server() as nsqd:
        return [
            *_consuming(nsqd, rounds, has_go),
            *_publishing(nsqd, rounds, has_go),
            *_waiting(nsqd, rounds),
            *_latency(nsqd, rounds),
            *_observing(nsqd, rounds),
            *telling.rows(nsqd, rounds),
            *_memory(nsqd),
        ]


def _fill(nsqd: Server, count: int = _EVENTS) -> None:
    nsqd.fresh(TOPIC, "bench")
    nsqd.role("fill", count)


def _consuming(nsqd: Server, rounds: int, has_go: bool) -> list[Row]:
    def ours() -> float:
        _fill(nsqd, _TO_CONSUME)
        return nsqd.rate("consume", _TO_CONSUME, "bench")

    def peer(role: str, count: int) -> Callable[[], float]:
        def measure() -> float:
            _fill(nsqd, count)
            return nsqd.rate(role, count, "bench")

        return measure

    def beside_codec() -> float:
        return 1 / (1 / ours() - 1 / nsqd.rate("codec", _EVENTS))

    name = "consume typed, 64 handlers"
    found = [
        compare(name, ours, "codec alone", lambda: nsqd.rate("codec", _EVENTS), rounds=rounds),
        compare(
            "consume, what is not codec",
            beside_codec,
            "unpack and validate",
            lambda: nsqd.rate("unpack", _EVENTS),
            rounds=rounds,
            goal=round(1 / 0.35, 2),
        ),
        compare(name, ours, "gnsq, raw", peer("gnsq_consume", 50_000), rounds=rounds, goal=4.0),
    ]
    if find_spec("nsq") is not None:
        found.append(compare(name, ours, "pynsq, raw", peer("pynsq_consume", 50_000), rounds=rounds))
    if has_go:
        for mode, goal in (("typed", 1.25), ("strings", None)):
            said = "go-nsq decoding the same" if mode == "typed" else "go-nsq decoding to strings"
            go = lambda mode=mode: _best_go(  # noqa: E731
                lambda: _fill(nsqd, _TO_CONSUME), "consume", nsqd.tcp, TOPIC, "bench", _TO_CONSUME, mode
            )
            found.append(compare(name, ours, said, go, rounds=rounds, goal=goal))
    return found


def _publishing(nsqd: Server, rounds: int, has_go: bool) -> list[Row]:
    with caused(), Bus("memory://", source=SERVICE) as bus:
        size = len(bus.publisher.envelopes.write(make_order())[2])

    def ours(greenlets: int, count: int) -> Callable[[], float]:
        def measure() -> float:
            nsqd.fresh(TOPIC)
            return nsqd.rate("publish", count, greenlets)

        return measure

    def go(goroutines: int, count: int) -> Callable[[], float]:
        return lambda: _best_go(lambda: nsqd.fresh(TOPIC), "publish", nsqd.tcp, TOPIC, goroutines, count, size)

    def go_encoding(goroutines: int, batch: int) -> Callable[[], float]:
        return lambda: _best_go(lambda: nsqd.fresh(TOPIC), "publish-encoded", nsqd.tcp, TOPIC, goroutines, _EVENTS, batch)

    many, one = "publish typed, 1,000 greenlets", "publish typed, 1 greenlet"
    gnsq = lambda: nsqd.rate("gnsq_publish", 50_000, 1000)  # noqa: E731
    bare = lambda: nsqd.rate("bare_socket", 20_000)  # noqa: E731

    def together() -> float:
        nsqd.fresh(TOPIC)
        return nsqd.rate("publish_all", _EVENTS, 100)

    found = [
        compare("publish_all of 100", together, "publish, 1,000 greenlets", ours(1000, _EVENTS), rounds=rounds),
        compare(many, ours(1000, _EVENTS), "gnsq, raw", gnsq, rounds=rounds),
        compare(one, ours(1, 20_000), "bare gevent socket", bare, rounds=rounds, goal=0.8),
    ]
    if has_go:
        found += [
            compare(many, ours(1000, _EVENTS), "go-nsq, 1,000 goroutines, raw", go(1000, _EVENTS), rounds=rounds, goal=1.3),
            compare(
                many, ours(1000, _EVENTS), "go-nsq that encodes the same", go_encoding(1000, 1), rounds=rounds, goal=2.0
            ),
            compare(
                "publish_all of 100", together, "go-nsq MultiPublish, encoded", go_encoding(1, 100), rounds=rounds, goal=1.0
            ),
            compare(one, ours(1, 20_000), "go-nsq, 1 goroutine, raw", go(1, 20_000), rounds=rounds),
        ]
    return found


def _waiting(nsqd: Server, rounds: int) -> list[Row]:
    """Handlers that wait 10 ms: the limit is concurrency / 10 ms, as far as it lies below the rate of an empty handler."""
    found = []
    for workers, count in ((100, 30_000), (500, 100_000), (1000, 100_000)):

        def ours(workers: int = workers, count: int = count) -> float:
            _fill(nsqd, count)
            return nsqd.rate("consume", count, "bench", 0.01, workers)

        limit = workers / 0.01
        found.append(
            compare(
                f"handler of 10 ms, {workers:,} workers",
                ours,
                "workers / 10 ms",
                lambda limit=limit: limit,
                rounds=rounds,
                goal=0.8,
            )
        )
    return found


def _latency(nsqd: Server, rounds: int) -> list[Row]:
    measured = [json.loads(nsqd.role("latency")) for _ in range(rounds)]
    limits = {"one at a time p50": 0.5, "one at a time p99": 2.0, "bursts of 50 p99": 6.0}
    found = []
    for name, limit in limits.items():
        ours = statistics.median(each[name] for each in measured)
        found.append(Row(f"publish to handler, {name}", round(ours, 3), "ms", "limit", limit, round(limit / ours, 2), 1.0))
    return found


def _observing(nsqd: Server, rounds: int) -> list[Row]:
    """What `eventbus run` adds: metrics, tracing without an SDK, logs at info, the watch over the hub."""

    def consume(*observed: str) -> Callable[[], float]:
        def measure() -> float:
            _fill(nsqd, _TO_CONSUME)
            return nsqd.rate("consume", _TO_CONSUME, "bench", 0, 64, *observed)

        return measure

    def publish(greenlets: int, *observed: str) -> Callable[[], float]:
        def measure() -> float:
            nsqd.fresh(TOPIC)
            return nsqd.rate("publish", _EVENTS if greenlets > 1 else _EVENTS // 5, greenlets, *observed)

        return measure

    return [
        compare(f"observed: {name}", ours("observed"), "not observed", ours(), rounds=rounds, goal=0.9)
        for name, ours in (
            ("consume typed, 64 handlers", consume),
            ("publish typed, 1,000 greenlets", partial(publish, 1000)),
            ("publish typed, 1 greenlet", partial(publish, 1)),
        )
    ]


def _memory(nsqd: Server) -> list[Row]:
    _fill(nsqd, 10_000)
    small = float(nsqd.role("backlog", 10_000, "bench").split()[1])
    _fill(nsqd, 1_000_000)
    large = float(nsqd.role("backlog", 300_000, "bench").split()[1])
    nsqd.fresh(TOPIC)
    many = json.loads(nsqd.role("many", 100, 3))
    return [
        Row("memory with 10,000 in backlog", small, "MiB", "with 1,000,000", large, round(small / large, 3), 0.8),
        Row(
            "100 topics x 3 channels",
            round(many["MiB"], 1),
            "MiB",
            "idle CPU in % of a core",
            round(many["cpu"] * 100, 2),
            0,
            None,
        ),
    ]
