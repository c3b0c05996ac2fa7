"""Load on the whole scenario: `python -m benchmarks.orders [--orders N] [--clients N]`.

Real processes: nsqd, the three services, an SMTP server, and the clients in one more. First as many orders as are taken,
then a steady rate below it, from which the times come. Times from acceptance to shipped and mailed are read from the
services' databases.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from benchmarks.nsqd import ROOT, _free_port, server
from benchmarks.rows import machine
from eventbus.sql import Database
from services.email_confirmation.tables import mails
from services.fulfillment.tables import rejections, shipments
from services.orders.tables import orders
from tests.postgres import Cluster, own_database

_NAMES = ("orders", "fulfillment", "email_confirmation")


class Scenario:
    """The services as processes on one kind of databases."""

    def __init__(self, urls: dict[str, str], nsqd_url: str, stack: ExitStack) -> None:
        self.databases = {name: Database(url) for name, url in urls.items()}
        self.port, smtp = _free_port(), _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {
            **os.environ,
            "EVENTBUS_URL": nsqd_url,
            "ORDERS_DATABASE_URL": urls["orders"],
            "ORDERS_PORT": str(self.port),
            "FULFILLMENT_DATABASE_URL": urls["fulfillment"],
            "EMAIL_DATABASE_URL": urls["email_confirmation"],
            "EMAIL_SMTP_PORT": str(smtp),
            "EMAIL_ORDERS_URL": self.url,
        }
        sink = [sys.executable, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{smtp}", "-c", "aiosmtpd.handlers.Sink"]
        self.processes = {"smtp": stack.enter_context(_process(sink, environment))}
        for name in _NAMES:
            command = [sys.executable, "-m", f"services.{name}"]
            self.processes[name] = stack.enter_context(_process(command, environment))
        deadline = time.monotonic() + 30
        while subprocess.run(["curl", "-sf", f"{self.url}/readyz"], capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                sys.exit("the orders service does not come up")
            time.sleep(0.1)
        time.sleep(2.0)

    def drive(self, count: int, clients: int, rate: float) -> dict[str, float]:
        """Place orders from a process of its own, and wait until all are through."""
        before = {name: sum(psutil.Process(p.pid).cpu_times()[:2]) for name, p in self.processes.items()}
        began, start = time.time(), time.monotonic()
        command = [sys.executable, "-m", "benchmarks.order_clients", self.url, str(count), str(clients), str(rate)]
        said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=600).stdout
        result: dict[str, float] = json.loads(said)
        self._wait(began, count)
        seconds = time.monotonic() - start
        result["through"] = count / seconds
        for name, process in self.processes.items():
            used = sum(psutil.Process(process.pid).cpu_times()[:2]) - before[name]
            result[f"cpu {name}"] = used / seconds
        result.update(self._times(began))
        return result

    def _wait(self, since: float, count: int) -> None:
        deadline = time.monotonic() + 600
        query = sa.select(sa.func.count()).where(mails.c.kind == "confirmation", mails.c.sent_at >= since)
        while True:
            sent = self.databases["email_confirmation"].read(lambda c: c.scalar(query))
            decided = sum(
                self.databases["fulfillment"].read(
                    lambda c, t=table, at=column: c.scalar(sa.select(sa.func.count()).select_from(t).where(at >= since))
                )
                for table, column in ((shipments, shipments.c.shipped_at), (rejections, rejections.c.rejected_at))
            )
            if sent >= count and decided >= count and self._notices_are_sent(since):
                return
            if time.monotonic() > deadline:
                sys.exit(f"of {count} orders {decided} were decided and {sent} confirmed")
            time.sleep(0.1)

    def _notices_are_sent(self, since: float) -> bool:
        """Whether the shipped orders have their second mail too: the next run must not begin with their backlog."""
        notices = sa.select(sa.func.count()).where(mails.c.kind == "shipping", mails.c.sent_at >= since)
        shipped = sa.select(sa.func.count()).where(shipments.c.shipped_at >= since)
        sent = self.databases["email_confirmation"].read(lambda c: c.scalar(notices))
        return bool(sent >= self.databases["fulfillment"].read(lambda c: c.scalar(shipped)))

    def _times(self, since: float) -> dict[str, float]:
        placed = self._instants(
            "orders", sa.select(orders.c.order_id, orders.c.placed_at).where(orders.c.placed_at >= since)
        )
        shipped = self._instants("fulfillment", sa.select(shipments.c.order_id, shipments.c.shipped_at))
        mailed = self._instants(
            "email_confirmation", sa.select(mails.c.order_id, mails.c.sent_at).where(mails.c.kind == "confirmation")
        )
        found: dict[str, float] = {}
        for name, ends in (("shipped", shipped), ("mailed", mailed)):
            waits = sorted(ends[order] - at for order, at in placed.items() if order in ends)
            found[f"{name} p50"] = waits[len(waits) // 2]
            found[f"{name} p99"] = waits[int(len(waits) * 0.99)]
        return found

    def _instants(self, name: str, query: sa.Select[tuple[object, float]]) -> dict[object, float]:
        rows = self.databases[name].read(lambda connection: list(connection.execute(query)))
        return {row[0]: row[1] for row in rows}

    def close(self) -> None:
        for database in self.databases.values():
            database.close()


@contextmanager
def _process(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def measure(kind: str, count: int, clients: int, rate: float) -> list[tuple[str, dict[str, float]]]:
    """Return the figures of one kind of database: in a flood, and at a steady rate."""
    with ExitStack() as stack:
        if kind == "SQLite":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orders-load-")))
            urls = {name: f"sqlite:///{folder / name}.db" for name in _NAMES}
        else:
            cluster = Cluster(durable=True)
            stack.callback(cluster.end)
            urls = {name: stack.enter_context(own_database(cluster.url)) for name in _NAMES}
        scenario = Scenario(urls, stack.enter_context(server()).url, stack)
        stack.callback(scenario.close)
        flood = scenario.drive(count, clients, 0.0)
        steady = scenario.drive(max(int(rate * 20), 200), clients, rate)
        return [(f"{kind}, flood", flood), (f"{kind}, {rate:g}/s", steady)]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--orders", type=int, default=2000)
    options.add_argument("--clients", type=int, default=32)
    options.add_argument("--rate", type=float, default=50.0)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    runs = [run for kind in ("SQLite", "PostgreSQL") for run in measure(kind, given.orders, given.clients, given.rate)]
    table = Table("", *(name for name, _ in runs), title=machine(), title_justify="left")
    for key in runs[0][1]:
        table.add_row(key, *(f"{figures[key]:.3f}" if figures[key] < 10 else f"{figures[key]:.0f}" for _, figures in runs))
    Console(width=120).print(table)
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "runs": dict(runs)}, indent=2) + "\n")


if __name__ == "__main__":
    main()
