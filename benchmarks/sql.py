"""Outbox, inbox and receipts on SQLite and PostgreSQL: what each costs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import sql_apart
from benchmarks.nsqd import ROOT
from benchmarks.rows import Row, compare
from tests.postgres import Cluster, own_database


def _role(url: str, *arguments: str) -> float:
    command = [sys.executable, "-m", "benchmarks.sql_roles", arguments[0], url, *arguments[1:]]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=300).stdout)


def rows(rounds: int) -> list[Row]:
    """Measure both databases; both write through to the disk at each commit."""
    cluster = Cluster(durable=True)

    def sqlite(*arguments: str) -> Callable[[], float]:
        def measure() -> float:
            with tempfile.TemporaryDirectory(prefix="sql-bench-") as folder:
                return _role(f"sqlite:///{Path(folder) / 'bench.db'}", *arguments)

        return measure

    def postgres(*arguments: str) -> Callable[[], float]:
        def measure() -> float:
            with own_database(cluster.url) as url:
                return _role(url, *arguments)

        return measure

    try:
        found = [
            row
            for name, run in (("SQLite", sqlite), ("PostgreSQL", postgres))
            for row in (
                compare(
                    f"{name}: transactions that add an event",
                    run("add", "receipts"),
                    "without receipts",
                    run("add"),
                    rounds=rounds,
                ),
                compare(f"{name}: relay", run("relay", "receipts"), "without receipts", run("relay"), rounds=rounds),
                compare(
                    f"{name}: row to claimed effect",
                    run("whole", "receipts"),
                    "without receipts",
                    run("whole"),
                    rounds=rounds,
                ),
            )
        ]
        return [*found, *sql_apart.rows(cluster, rounds)]
    finally:
        cluster.end()
