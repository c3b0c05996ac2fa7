"""The world of an example: a real server of its own, PostgreSQL, nsqd, `eventbus relay`, and a ledger that listens."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import sqlalchemy as sa

from tests.cli.running import Forked
from tests.nsqd import HOST, Nsqd, Process, free_port
from tests.postgres import Cluster
from tests.waiting import PATIENCE, eventually

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "outbox"
COUNT = 200
_TIMES = {"EVENTBUS_PUBLISH_TIMEOUT": "1", "EVENTBUS_NSQ_CONNECT_TIMEOUT": "1"}
"""What a killed relay had leased is free after twice the first and 5 s."""


class Application(Process):
    """A server and all that it forks, which are killed together."""

    def begin(self) -> Any:
        return subprocess.Popen(
            self.command,
            stdout=self.log,
            stderr=self.log,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            env=self.environment,
            start_new_session=True,
        )

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        self.kill()
        super().end()


class Requests:
    """Sends a request for each number from several threads, each again until it is answered well."""

    def __init__(self, send: Callable[[int], bool], numbers: range, threads: int) -> None:
        self._send = send
        self._left = list(reversed(numbers))
        self.done: list[int] = []
        self._is_over = False
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def _work(self) -> None:
        with suppress(IndexError):
            while not self._is_over:
                number = self._left.pop()
                while not self._send(number) and not self._is_over:
                    time.sleep(0.05)
                self.done.append(number)
                time.sleep(0.02)  # so that they meet what is killed

    def end(self) -> None:
        self._is_over = True
        for thread in self.threads:
            thread.join(PATIENCE)


class World:
    """All that runs for one example.

    Args:
        server: the command that serves it, with {port} for its port; None for the script.
        folder: where it runs.
        setup: the commands that make its tables.
    """

    def __init__(
        self, cluster: Cluster, nsqd: Nsqd, tmp: Path, server: list[str] | None, folder: Path, setup: list[list[str]]
    ) -> None:
        self.cluster, self.nsqd, self.folder = cluster, nsqd, folder
        name = f"program_{uuid4().hex}"
        with psycopg.connect(cluster.url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        self.url = sa.make_url(cluster.url).set(database=name)
        self.ledger_url = f"sqlite:///{tmp}/ledger.db"
        self.ledger_engine = sa.create_engine(self.ledger_url, poolclass=sa.NullPool)
        self._engine = sa.create_engine(self.url.set(drivername="postgresql+psycopg"), poolclass=sa.NullPool)
        mine = {"DATABASE_URL": self.url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)}
        self.environment = {**mine, "LEDGER_URL": self.ledger_url, "EVENTBUS_URL": nsqd.url, **_TIMES}
        for command in setup:
            subprocess.run([sys.executable, *command], cwd=folder, env={**os.environ, **self.environment}, check=True)
        self.ledger = Forked("eventbus.cli", "run", "ledger:service", cwd=EXAMPLES, environment=self.environment)
        self.relay = self._new_relay()
        self.port = free_port()
        self._server = None if server is None else [sys.executable, "-m", *(each.format(port=self.port) for each in server)]
        self.application = self._new_application()

    def _new_relay(self) -> Forked:
        database = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        words = ("relay", "--database", database, "--source", "billing-relay")
        return Forked("eventbus.cli", *words, cwd=self.folder, environment=self.environment)

    def _new_application(self) -> Application | None:
        if self._server is None:
            return None
        return Application(*self._server, cwd=self.folder, environment=self.environment)

    def issue(self, number: int) -> bool:
        """Send a request for an invoice; return whether it was issued, now or before."""
        if self._server is None:
            return self._issue_by_script(number)
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10.0)
        try:
            connection.request("PUT", f"/invoices/{number}")
            return connection.getresponse().status in (200, 201)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _issue_by_script(self, number: int) -> bool:
        """Run the script for ten invoices that begin with every tenth."""
        if number % 10:
            return True
        words = (sys.executable, "script.py", str(number), str(min(number + 9, COUNT - 1)))
        script = Application(*words, cwd=self.folder, environment=self.environment)
        self.application = script
        code = script.process.wait()
        script.end()
        return bool(code == 0)

    def kill_application(self) -> None:
        """Kill all of its processes and start it again; the script is started again by who waits for it, and ended there."""
        if self._server is None:
            if self.application is not None:
                self.application.kill()
        elif self.application is not None:
            self.application.end()
            self.application = self._new_application()

    def kill_relay(self) -> None:
        self.relay.end()
        self.relay = self._new_relay()

    def kill_database(self) -> None:
        self.cluster.restart()

    def kill_nsqd(self) -> None:
        """Kill it while it holds what the ledger, which stands still, has not had; its memory is all that it has."""
        self.ledger.signal(signal.SIGSTOP)
        eventually(lambda: self._held() > 0, "messages in nsqd that nobody has had")
        self.nsqd.kill()
        self.nsqd.start()
        self.ledger.signal(signal.SIGCONT)

    def _held(self) -> int:
        topics = self.nsqd.get("/stats", format="json", topic="invoice_issued")["topics"]
        return sum(channel["depth"] + channel["in_flight_count"] for topic in topics for channel in topic["channels"])

    def invoices(self) -> list[int]:
        table = "invoices" if self.folder == EXAMPLES else "billing_invoice"
        return numbers(self._engine, f"SELECT number FROM {table} ORDER BY number")

    def entries(self) -> list[int]:
        return numbers(self.ledger_engine, "SELECT number FROM entries ORDER BY number")

    def unsettled(self) -> int:
        return len(numbers(self._engine, "SELECT id FROM eventbus_outbox WHERE settled_at IS NULL"))

    def subscribers(self) -> int:
        return len(numbers(self._engine, "SELECT since FROM eventbus_subscribers"))

    def told(self) -> str:
        """What can be said of it when something does not come."""
        there = self.entries()
        lost, extra = set(range(COUNT)) - set(there), len(there) - len(set(there))
        parts = {"application": self.application, "relay": self.relay, "ledger": self.ledger}
        logs = [
            f"{name}:\n{part.output()[-3000:]}" for name, part in parts.items() if part is not None and not part.log.closed
        ]
        rows = f"{len(self.invoices())} invoices, {self.unsettled()} rows unsettled, {self.subscribers()} subscribers"
        return "\n".join([f"no entry of {sorted(lost)}, {extra} too many; {rows}; nsqd holds {self._held()}", *logs])

    def end(self) -> None:
        for each in (self.application, self.relay, self.ledger):
            if each is not None:
                each.end()


def numbers(engine: sa.Engine, query: str) -> list[int]:
    with engine.connect() as connection:
        return list(connection.scalars(sa.text(query)))


@contextmanager
def requests_to(world: World) -> Iterator[Requests]:
    """Send the requests while the block runs."""
    made = Requests(world.issue, range(1, COUNT), threads=4 if world.application is not None else 1)
    try:
        yield made
    finally:
        made.end()


def introduced(world: World) -> None:
    """Return when application, relay and ledger know each other."""
    eventually(lambda: world.issue(0), "the first invoice")
    eventually(lambda: sa.inspect(world.ledger_engine).has_table("entries"), "the table of the ledger")
    eventually(lambda: 0 in world.entries(), "the first entry")
    eventually(lambda: world.subscribers() > 0, "the ledger among the subscribers")
