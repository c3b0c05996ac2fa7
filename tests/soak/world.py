"""World of the soak: two nsqd behind proxies, two nsqlookupd, databases, and two processes of each service."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

import psycopg
import sqlalchemy as sa
from gevent.lock import Semaphore

from eventbus.sql import Database, metadata
from tests.nsqd import Nsqd, Nsqlookupd, Process
from tests.ports import HOST
from tests.postgres import Cluster
from tests.soak.ledger import Books
from tests.soak.proxy import Proxy
from tests.soak.tables import SERVICES, tables

ROOT = Path(__file__).parent.parent.parent
MESSAGE_TIMEOUT = 10


class Node:
    """An nsqd whose clients know its proxies alone; its folder is a small file system of its own where that can be had."""

    def __init__(self, lookupds: list[Nsqlookupd], random: Random) -> None:
        self._random = random
        self.nsqd = Nsqd(lookupds=tuple(lookupds), start=False)
        self.is_small = os.geteuid() == 0 and not _run(
            "mount", "-t", "tmpfs", "-o", "size=24m", "soak", str(self.nsqd.folder)
        )
        self._options = ("-mem-queue-size=200", f"-msg-timeout={MESSAGE_TIMEOUT}s")
        self.move()
        self.nsqd.start()

    def move(self) -> None:
        """Take other ports; before a start."""
        for each in getattr(self, "proxies", ()):
            each.end()
        self.nsqd.new_ports()
        self.proxies = [Proxy(address.port, self._random) for address in (self.nsqd.tcp, self.nsqd.http)]
        tcp, http = self.proxies
        self.nsqd.options = (
            *self._options,
            f"-broadcast-tcp-port={tcp.port}",
            f"-broadcast-http-port={http.port}",
        )

    def fill(self) -> None:
        """Leave no byte free where it writes."""
        with (self.nsqd.folder / "filler").open("wb", buffering=0) as filler:
            block = bytes(65536)
            try:
                while True:
                    filler.write(block)
            except OSError:
                pass

    def end(self) -> None:
        for each in self.proxies:
            each.end()
        self.nsqd.process.end()
        if self.is_small:
            _run("umount", str(self.nsqd.folder))
        shutil.rmtree(self.nsqd.folder, ignore_errors=True)


def _run(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode


class World:
    """Everything that runs.

    Args:
        kind: "sqlite" or "postgresql".
        rate: orders a second of each of the two processes.
    """

    def __init__(self, kind: str, *, rate: float, random: Random) -> None:
        self.kind = kind
        self.random = random
        self.folder = Path(tempfile.mkdtemp(prefix=f"soak-{kind}-"))
        self.cluster = Cluster(durable=True) if kind == "postgresql" else None
        self.urls = {name: self._database(name) for name in ("orders", "fulfillment", "billing")}
        databases = {name: Database(url, lock_timeout=60.0) for name, url in self.urls.items()}
        for each in databases.values():
            each.create_tables(metadata, tables)
        self.books = Books(databases["orders"], databases["fulfillment"], databases["billing"], self.folder)
        self.lookupds = [Nsqlookupd() for _ in range(2)]
        self.lookup_proxies = [Proxy(each.http.port, random) for each in self.lookupds]
        self.nodes = [Node(self.lookupds, random) for _ in range(2)]
        lookups = ",".join(f"{HOST}:{each.port}" for each in self.lookup_proxies)
        self.url = f"nsq://{lookups}?message_timeout={MESSAGE_TIMEOUT}&lookup_interval=3"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("EVENTBUS_")},
            "EVENTBUS_URL": self.url,
            "SOAK_FOLDER": str(self.folder),
            "SOAK_RATE": str(rate),
            **{f"SOAK_{name.upper()}": url for name, url in self.urls.items()},
        }
        self.services: dict[tuple[str, int], Process] = {}
        self._one_at_a_time = Semaphore()
        self.restarts = Semaphore()
        """Held by who ends an nsqd and starts it again: two at a time would start two on one folder."""
        self.logs = Path(tempfile.mkdtemp(prefix=f"soak-{kind}-logs-"))
        for role in SERVICES:
            for number in range(2):
                self.run(role, number)

    def _database(self, name: str) -> str:
        if self.cluster is None:
            return f"sqlite:///{self.folder}/{name}.db"
        with psycopg.connect(self.cluster.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        url = sa.make_url(self.cluster.url).set(drivername="postgresql", database=name)
        return url.render_as_string(hide_password=False)

    def run(self, role: str, number: int, **environment: str) -> None:
        """Start a service's process, in the place of the one that was there."""
        with self._one_at_a_time:  # two faults may mean the same process, and to start one lets others run
            if (role, number) in self.services:
                self.end_service(role, number)
            command = (sys.executable, "-m", "tests.soak.services", role)
            self.services[role, number] = Process(*command, cwd=ROOT, environment={**self._environment, **environment})

    def end_service(self, role: str, number: int) -> None:
        process = self.services.pop((role, number))
        with (self.logs / f"{role}-{number}.log").open("a") as log:
            log.write(process.output())
        process.end()

    def flag(self, name: str, *, up: bool) -> None:
        """Set or take away a file that services look at."""
        if up:
            (self.folder / name).touch()
        else:
            (self.folder / name).unlink(missing_ok=True)

    def heal(self) -> None:
        """Let everything run well: what was left broken is mended, what died is started."""
        for name in ("fail", "slow", "block", "burst"):
            self.flag(name, up=False)
        for node in self.nodes:
            (node.nsqd.folder / "filler").unlink(missing_ok=True)
            if node.nsqd.process.process.poll() is not None:
                node.nsqd.process.end()
                node.nsqd.start()
            node.nsqd.thaw()
            for proxy in node.proxies:
                proxy.mood = "well"
        for lookupd, proxy in zip(self.lookupds, self.lookup_proxies, strict=True):
            proxy.mood = "well"
            if lookupd.process.process.poll() is not None:
                lookupd.end()
                lookupd.start()
            lookupd.process.signal(signal.SIGCONT)
        if self.cluster is not None:
            if self.cluster.process.process.poll() is not None:
                self.cluster.restart()
            self.cluster.process.signal(signal.SIGCONT)
        for (role, number), process in list(self.services.items()):
            if process.process.poll() is not None:
                self.run(role, number)
            else:
                process.signal(signal.SIGCONT)

    def end(self) -> None:
        for role, number in list(self.services):
            self.end_service(role, number)
        for node in self.nodes:
            node.end()
        for proxy in self.lookup_proxies:
            proxy.end()
        for lookupd in self.lookupds:
            lookupd.end()
        for each in (self.books.orders, self.books.fulfillment, self.books.billing):
            each.close()
        if self.cluster is not None:
            self.cluster.end()
        shutil.rmtree(self.folder, ignore_errors=True)
