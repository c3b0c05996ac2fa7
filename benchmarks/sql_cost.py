"""What outbox, inbox and receipts cost in CPU time for each event, beside publishing and consuming with none of them.

`python -m benchmarks.sql_cost [--rounds 3]`. CPU time of the process that does all of it, and of PostgreSQL's processes; it
does not depend on what else the machine does. Each figure is the least of its rounds, each round a process of its own.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import os  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402

from benchmarks.nsqd import ROOT  # noqa: E402
from benchmarks.order import OrderPlaced, make_order  # noqa: E402
from eventbus import Bus, Service  # noqa: E402
from eventbus.sql import Database, Inbox, Outbox, Receipts, metadata  # noqa: E402
from tests.postgres import Cluster, own_database  # noqa: E402

_EVENTS = 3000
_MODES = {
    "neither": "neither: published, handled",
    "inbox": "inbox alone",
    "both": "outbox and inbox, no receipts",
    "receipts": "outbox, inbox and receipts",
}


def spend(mode: str, url: str) -> float:
    """Bring events from a publisher to a handler; return the CPU time in microseconds for each."""
    database = Database(url, pool_size=20)
    database.create_tables(metadata)
    handled = 0
    service = Service("subscriber")
    inbox = None if mode == "neither" else Inbox(database)

    @service.on(OrderPlaced, inbox=inbox, concurrency=16)
    def handle(order: OrderPlaced) -> None:
        nonlocal handled
        handled += 1

    outbox = Outbox(database, receipts=Receipts() if mode == "receipts" else None)
    with Bus("memory://", source="bench") as bus:
        bus.start(service)
        if mode in ("both", "receipts"):
            bus.attach(outbox)
            database.transact(lambda connection: outbox.add(connection, make_order()))
        else:
            bus.publish(make_order())
        gevent.sleep(1.0)
        orders = [make_order() for _ in range(_EVENTS)]
        began = time.process_time()
        if mode in ("both", "receipts"):
            database.transact(lambda connection: [outbox.add(connection, order) for order in orders])
        else:
            for order in orders:
                bus.publish(order)
        while handled <= _EVENTS or (mode in ("both", "receipts") and outbox.backlog().unsettled):
            gevent.sleep(0.05)
        spent = time.process_time() - began
    database.close()
    return spent / _EVENTS * 1e6


def _of_server(cluster: Cluster) -> float:
    """CPU time in seconds of the server's processes that live, and of those that have ended."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            values = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # it has just ended; its parent counts it
        if int(path.parent.name) == cluster.process.process.pid:
            ticks += sum(map(int, values[11:15]))  # with children that have ended
        elif int(values[1]) == cluster.process.process.pid:
            ticks += int(values[11]) + int(values[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _run(mode: str, url: str) -> float:
    command = [sys.executable, "-m", "benchmarks.sql_cost", "--mode", mode, "--url", url]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=600).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mode", choices=list(_MODES))
    parser.add_argument("--url")
    options = parser.parse_args()
    if options.mode:
        print(spend(options.mode, options.url))
        return
    cluster = Cluster()
    try:
        print(f"{'CPU microseconds for each event':40} {'SQLite':>10} {'PostgreSQL':>12} {'its server':>12}")
        for mode, title in _MODES.items():
            on_sqlite, on_postgres, of_server = [], [], []
            for _ in range(options.rounds):
                with tempfile.TemporaryDirectory(prefix="sql-cost-") as folder:
                    on_sqlite.append(_run(mode, f"sqlite:///{folder}/cost.db"))
                with own_database(cluster.url) as url:
                    before = _of_server(cluster)
                    on_postgres.append(_run(mode, url))
                    of_server.append((_of_server(cluster) - before) / _EVENTS * 1e6)
            print(f"{title:40} {min(on_sqlite):10.0f} {min(on_postgres):12.0f} {min(of_server):12.0f}", flush=True)
    finally:
        cluster.end()


if __name__ == "__main__":
    main()
