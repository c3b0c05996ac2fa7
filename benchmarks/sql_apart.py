"""Adding, relaying and handling in processes of their own: beside all of it in one, and from commit to handler."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from benchmarks.nsqd import ROOT, Server, server
from benchmarks.order import make_order
from benchmarks.rows import Row, compare
from benchmarks.stamped import Stamped
from eventbus.sql import Outbox, upgrade
from eventbus.sql.tables import outbox as table
from tests.postgres import Cluster, own_database

_EVENTS = 3000
_WARM, _SINGLE = 30, 200
_LIMIT = 15.0
"""Milliseconds from a commit to the handler, in the middle."""


def rows(cluster: Cluster, rounds: int) -> list[Row]:
    """Measure on PostgreSQL, with a real nsqd."""
    with server() as nsqd:

        def of(measure: Callable[[Server, str], float]) -> Callable[[], float]:
            def run() -> float:
                with own_database(cluster.url) as url:
                    return measure(nsqd, url)

            return run

        return [
            compare(
                "PostgreSQL: transactions that add an event, no bus",
                of(lambda _, url: _role("add_alone", url)),
                "outbox attached to a bus",
                of(lambda _, url: _role("add", url)),
                rounds=rounds,
                goal=0.95,
            ),
            compare(
                "PostgreSQL: relay process, rows to nsqd",
                of(_relay_apart),
                "relay in the process",
                of(lambda nsqd, url: _role("relay", url, nsqd.url)),
                rounds=rounds,
                goal=0.9,
            ),
            _to_handler(of(_latency), rounds),
        ]


def _role(role: str, url: str, *more: str) -> float:
    command = [sys.executable, "-m", "benchmarks.sql_roles", role, url, *more]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=300).stdout)


def _to_handler(measure: Callable[[], float], rounds: int) -> Row:
    found = sorted(measure() for _ in range(rounds))[rounds // 2]
    name = "PostgreSQL: commit to handler, three processes p50"
    return Row(name, found, "ms", "limit", _LIMIT, round(_LIMIT / found, 2), 1.0)


@contextmanager
def _relaying(nsqd: Server, url: str) -> Iterator[sa.Engine]:
    """Make the tables, start `eventbus relay` on them, and wait until it has sent a first event."""
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        upgrade(connection)
    command = [sys.executable, "-m", "eventbus.cli", "relay", "--database", url, "--bus", nsqd.url, "--no-receipts"]
    process = subprocess.Popen([*command, "--log-level", "error"], cwd=ROOT)
    try:
        with engine.begin() as connection:
            Outbox(source="bench", receipts=None).add(connection, make_order())
        _all_sent(engine)
        yield engine
    finally:
        process.terminate()
        process.wait()
        engine.dispose()


def _all_sent(engine: sa.Engine) -> None:
    waiting = sa.select(sa.func.count()).where(table.c.published_at.is_(None))
    while True:
        with engine.connect() as connection:
            if not connection.scalar(waiting):
                return
        time.sleep(0.005)


def _relay_apart(nsqd: Server, url: str) -> float:
    orders = [make_order() for _ in range(_EVENTS)]
    outbox = Outbox(source="bench", receipts=None)
    with _relaying(nsqd, url) as engine:
        with engine.begin() as connection:
            for order in orders:
                outbox.add(connection, order)
        began = time.perf_counter()
        _all_sent(engine)
        return _EVENTS / (time.perf_counter() - began)


def _latency(nsqd: Server, url: str) -> float:
    """Return the median in milliseconds of events that are committed one at a time, up to their handler with an inbox."""
    nsqd.fresh("bench_stamped", "subscriber")
    outbox = Outbox(source="bench", receipts=None)
    committed: list[float] = []
    with _relaying(nsqd, url) as engine:
        command = [sys.executable, "-m", "benchmarks.sql_subscriber", nsqd.url, url]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as subscriber:
            try:
                assert subscriber.stdout is not None
                subscriber.stdout.readline()  # it is ready
                for number in range(_WARM + _SINGLE):
                    with engine.begin() as connection:
                        outbox.add(connection, Stamped(number=number))
                    committed.append(time.time())
                    time.sleep(0.02)
                handled = dict(subscriber.stdout.readline().split() for _ in range(_WARM + _SINGLE))
            finally:
                subscriber.kill()
    waits = sorted(float(instant) - committed[int(key)] for key, instant in handled.items() if int(key) >= _WARM)
    return waits[len(waits) // 2] * 1000
