"""Stack: the scenario in containers, by `docker compose`, with a name and ports of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import urllib3

PROJECT = Path(__file__).parent.parent
_PORTS = (
    *("ORDERS_HTTP", "MAILDEV_HTTP", "NSQADMIN_HTTP", "PAGE_HTTP", "NSQLOOKUPD1_HTTP", "NSQLOOKUPD2_HTTP"),
    *("NSQD1_TCP", "NSQD1_HTTP", "NSQD2_TCP", "NSQD2_HTTP"),
)


class StackError(Exception):
    """Raised when the containers cannot be brought up, with what `docker compose` said."""


@dataclass(frozen=True, slots=True)
class StackLedger:
    """What came of the orders in the containers.

    Attributes:
        orders: accepted by the API.
        shipped, rejected: orders by their end; `shipments` those that fulfillment's own database has.
        confirmed: orders whose confirmation is noted.
        mails: different mails in MailDev; doubles of the same Message-ID are counted apart.
        lost: orders that miss their end, their shipment or a mail.
        repeated_mails: the same mail again, as SMTP may after a crash.
    """

    orders: int
    shipped: int
    rejected: int
    confirmed: int
    shipments: int
    mails: int
    lost: int
    repeated_mails: int
    seconds: float

    @property
    def is_balanced(self) -> bool:
        return (
            not self.lost
            and self.orders == self.shipped + self.rejected == self.confirmed
            and self.shipments == self.shipped
            and self.mails == self.orders + self.shipped
        )


def why_not() -> str | None:
    """Return in a line why containers cannot be run here, or None."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    for command in (["docker", "compose", "version"], ["docker", "info"]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            said = (done.stderr.strip() or "no answer").splitlines()[-1]
            return f"{' '.join(command)} fails: {said}"
    return None


class Stack:
    """All containers of the scenario; `up`, use it, `down`."""

    def __init__(self) -> None:
        self.name = f"eventbus-{uuid4().hex[:8]}"
        self._environment = {**os.environ, "COMPOSE_PROJECT_NAME": self.name, "COMPOSE_ANSI": "never"}
        self._environment.update(zip(_PORTS, map(str, _free_ports(len(_PORTS))), strict=True))
        self._secrets = tempfile.TemporaryDirectory(prefix="eventbus-secrets-")
        self._environment["EVENTBUS_SECRETS"] = self._secrets.name
        subprocess.run(["sh", "docker/make-secrets.sh", self._secrets.name], cwd=PROJECT, check=True)
        self.api = f"http://127.0.0.1:{self._environment['ORDERS_HTTP']}"
        self.maildev = f"http://127.0.0.1:{self._environment['MAILDEV_HTTP']}"
        self.page = f"http://127.0.0.1:{self._environment['PAGE_HTTP']}"
        self.page_token = (Path(self._secrets.name) / "page_token").read_text()
        self._http = urllib3.PoolManager(maxsize=16, retries=False, timeout=30.0)
        self._mails: dict[str, str] = {}
        self.began = time.monotonic()

    # -- containers -------------------------------------------------------------------------------------------------

    def compose(self, *arguments: str, timeout: float = 600.0) -> str:
        """Run `docker compose` with this stack; return its output.

        Raises:
            StackError: it failed; its last lines say why.
        """
        done = subprocess.run(
            ["docker", "compose", *arguments],
            cwd=PROJECT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
            raise StackError(f"docker compose {' '.join(arguments)} failed:\n{last}")
        return done.stdout

    def up(self) -> None:
        """Build the images and start everything; return when all are healthy."""
        self.compose("up", "--detach", "--build", "--wait", "--quiet-pull", timeout=900.0)

    def down(self) -> None:
        """End and remove everything, data included."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "30")
        self._secrets.cleanup()

    def containers(self, service: str) -> list[str]:
        """Return the ids of a service's containers, in the order of their numbers."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def logs(self, *services: str, lines: int = 40) -> str:
        """Return the last lines of each service's log."""
        return self.compose("logs", "--no-color", "--tail", str(lines), *services)

    def query(self, database: str, sql: str) -> list[str]:
        """Return the lines that a query gives, asked as the superuser."""
        psql = ["exec", "-T", "postgres", "psql", "-U", "postgres", "-d", database, "-A", "-t", "-c", sql]
        return self.compose(*psql).split()

    def docker(self, *arguments: str) -> str:
        """Run `docker` itself; return its output."""
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise StackError(f"docker {' '.join(arguments)} failed: {done.stderr.strip()}")
        return done.stdout.strip()

    # -- the scenario -----------------------------------------------------------------------------------------------

    def place(self, body: dict[str, Any], *, patience: float = 60.0) -> str:
        """Place an order with one idempotency key, again and again until it is accepted; return its id."""
        key, deadline = str(uuid4()), time.monotonic() + patience
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        while True:
            try:
                answer = self._http.request("POST", f"{self.api}/orders", body=json.dumps(body).encode(), headers=headers)
                if answer.status == 201:
                    return str(json.loads(answer.data)["order_id"])
                said = f"{answer.status}: {answer.data[:200]!r}"
                if answer.status < 500:
                    raise StackError(f"the orders API refused an order: {said}")
            except urllib3.exceptions.HTTPError as error:
                said = str(error)
            if time.monotonic() > deadline:
                raise StackError(f"the orders API takes no order: {said}")
            time.sleep(0.2)

    def place_all(self, bodies: Iterable[dict[str, Any]], *, at_a_time: int = 8) -> list[str]:
        """Place many orders."""
        with ThreadPoolExecutor(at_a_time) as pool:
            return list(pool.map(self.place, bodies))

    def orders(self) -> list[dict[str, Any]]:
        """Return all orders as the API tells them."""
        found: list[dict[str, Any]] = []
        before = ""
        while True:
            answer = self._http.request("GET", f"{self.api}/orders?limit=1000{before}")
            if answer.status != 200:
                raise StackError(f"GET /orders: {answer.status}: {answer.data[:200]!r}")
            page = json.loads(answer.data)
            found += page["orders"]
            if page["next"] is None:
                return found
            before = f"&before={page['next']}"

    def mails(self) -> Counter[str]:
        """Return how often each mail came to MailDev, by Message-ID; it forgets them when it stops, this does not."""
        found = json.loads(self._http.request("GET", f"{self.maildev}/email").data)
        self._mails.update({mail["messageId"]: mail["subject"] for mail in found})
        counts = Counter(dict.fromkeys(self._mails, 1))
        counts |= Counter(mail["messageId"] for mail in found)
        return counts

    def ledger(self) -> StackLedger:
        """Count everything now."""
        orders = self.orders()
        shipments = Counter(self.query("fulfillment", "SELECT order_id FROM shipments"))
        ids = self.mails()
        subjects = Counter(self._mails.values())
        lost = 0
        for order in orders:
            order_id, shipped = order["order_id"], order["status"] == "shipped"
            lost += (
                order["status"] == "placed"
                or order["confirmed_at"] is None
                or subjects[f"Your order {order_id}"] != 1
                or shipments[order_id] != int(shipped)
                or subjects[f"Your order {order_id} is on its way"] != int(shipped)
            )
        return StackLedger(
            orders=len(orders),
            shipped=sum(order["status"] == "shipped" for order in orders),
            rejected=sum(order["status"] == "rejected" for order in orders),
            confirmed=sum(order["confirmed_at"] is not None for order in orders),
            shipments=shipments.total(),
            mails=len(ids),
            lost=lost,
            repeated_mails=ids.total() - len(ids),
            seconds=round(time.monotonic() - self.began, 1),
        )

    def settle(self, orders: int, *, timeout: float = 600.0) -> StackLedger:
        """Wait until the books of `orders` orders balance; return the ledger, balanced or not after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                ledger = self.ledger()
                if ledger.orders == orders and ledger.is_balanced:
                    return ledger
            except (StackError, urllib3.exceptions.HTTPError):
                if time.monotonic() > deadline:
                    raise
            else:
                if time.monotonic() > deadline:
                    return ledger
            time.sleep(1.0)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
