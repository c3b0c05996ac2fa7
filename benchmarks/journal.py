"""How fast a journal keeps events: `python -m benchmarks.journal [--events N] [--rounds N]`.

A queue of nsqd's is full before `eventbus journal` begins, so what is measured is its own way from the queue to the commit
of SQLite, on the disk of the folder for temporary files. Each event has a subject of its own, which is the worst of cases.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from benchmarks.nsqd import ROOT, Server, server
from eventbus.engines import open_engine
from eventbus.wire.codec import CODECS
from eventbus.wire.envelope import Envelope
from eventbus.wire.identity import InstantWriter, new_id

_TOPIC = "bench_journal"
_AT_ONCE = 2000
_GOAL = 20_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=200_000)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    with server() as nsqd:
        for words in ((), ("--bodies",)):
            found = [_measure(nsqd, given.events, words) for _ in range(given.rounds)]
            rate, size = statistics.median(each[0] for each in found), found[0][1]
            goal = "" if words else f", goal {_GOAL:,}: {'met' if rate >= _GOAL else 'MISSED'}"
            print(f"{' '.join(('journal', *words)):<18} {rate:>9,.0f} events/s, {size:,.0f} bytes of the file each{goal}")


def _measure(nsqd: Server, count: int, words: tuple[str, ...]) -> tuple[float, float]:
    """Return events in a second, and bytes of the file for each."""
    nsqd.fresh(_TOPIC, "journal", "reader")
    nsqd.post("/channel/pause", topic=_TOPIC, channel="reader")
    engine = open_engine(nsqd.url)
    for _ in range(0, count, _AT_ONCE):
        engine.publish_many(_TOPIC, [_body() for _ in range(_AT_ONCE)], timeout=60.0)
    engine.close()
    with tempfile.TemporaryDirectory(prefix="eventbus-bench-") as folder:
        path = Path(folder) / "journal.db"
        command = [sys.executable, "-m", "eventbus.cli", "journal", "--bus", nsqd.url, "--database", f"sqlite:///{path}"]
        process = subprocess.Popen([*command, *words], cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            begin, before = _wait(path, 1)
            end, after = _wait(path, count)
        finally:
            process.terminate()
            process.wait()
        return (after - before) / (end - begin), path.stat().st_size / count


def _wait(path: Path, least: int) -> tuple[float, int]:
    """Return once so many events are in the journal: when, and how many."""
    while True:
        time.sleep(0.1)
        if path.exists():
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
                try:
                    (count,) = connection.execute("SELECT count(*) FROM eventbus_journal_events").fetchone()
                except sqlite3.OperationalError:  # it is being made
                    continue
            if count >= least:
                return time.monotonic(), count


def _body() -> bytes:
    now = time.time()
    id = new_id(now)
    data = {"order_id": id, "sku": "A-1234", "quantity": 3, "customer": "Ada Lovelace, London"}
    sent = Envelope(id, "orders", "OrderPlaced", InstantWriter().write(now), data, version=1, subject=id[-12:])
    return CODECS["msgpack"]().encode(sent)


if __name__ == "__main__":
    main()
