"""The scenario in containers, and what happens when parts of it are killed, stopped and started: every ledger balances.

Needs nothing but a working `docker compose`.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import urllib3

from demo.orders_file import make_orders
from demo.stack import Stack, StackError, StackLedger, why_not

pytestmark = [pytest.mark.containers, pytest.mark.timeout(400)]


class Shop:
    """A stack, and how many orders it was given."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.placed = 0

    def place(self, count: int) -> None:
        """Place orders, one after the other."""
        for request in make_orders(count, seed=self.placed):
            self.stack.place(request.body)
            self.placed += 1

    def place_while(self, count: int, fault: Callable[[], object], *, after: float = 0.5) -> None:
        """Place orders in the background, and let the fault happen in the middle."""
        errors: list[BaseException] = []

        def place() -> None:
            try:
                self.place(count)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=place)
        thread.start()
        time.sleep(after)
        fault()
        thread.join()
        if errors:
            raise errors[0]

    def balances(self, timeout: float = 150.0) -> StackLedger:
        ledger = self.stack.settle(self.placed, timeout=timeout)
        if not (ledger.is_balanced and ledger.orders == self.placed):
            raise AssertionError(f"{self.placed} placed, but {ledger}\n{self.stack.logs()[-6000:]}")
        return ledger


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    reason = why_not()
    if reason:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must run the containers: {reason}")
        pytest.skip(f"no containers here: {reason}")
    stack = Stack()
    try:
        stack.up()
        yield Shop(stack)
    except StackError as error:
        pytest.fail(str(error))
    finally:
        stack.down()


def test_200_orders_balance_and_replicas_take_turns(shop: Shop) -> None:
    shop.placed += len(shop.stack.place_all(request.body for request in make_orders(200, seed=99)))
    ledger = shop.balances()
    assert ledger.rejected > 0
    assert ledger.repeated_mails == 0
    shipped = shop.stack.query("fulfillment", "SELECT count(*) FROM shipments GROUP BY shipped_by")
    sent = shop.stack.query("email_confirmation", "SELECT count(*) FROM mails GROUP BY sent_by")
    for shares in (shipped, sent):
        counts = [int(each) for each in shares]
        assert len(counts) == 2
        assert min(counts) > 0.1 * sum(counts), counts


def test_a_fulfillment_replica_killed_in_the_middle(shop: Shop) -> None:
    victim = shop.stack.containers("fulfillment")[0]
    shop.place_while(60, lambda: shop.stack.docker("kill", "--signal", "KILL", victim))
    shop.stack.docker("start", victim)
    shop.balances()


def test_an_nsqd_killed_in_the_middle_loses_no_order(shop: Shop) -> None:
    # fulfillment is paused, so that orders wait in nsqd's memory when it dies
    (victim,) = shop.stack.containers("nsqd1")
    replicas = shop.stack.containers("fulfillment")
    for replica in replicas:
        shop.stack.docker("pause", replica)
    shop.place_while(80, lambda: shop.stack.docker("kill", "--signal", "KILL", victim), after=1.5)
    shop.stack.docker("start", victim)
    for replica in replicas:
        shop.stack.docker("unpause", replica)
    shop.balances()
    repeated = shop.stack.query("orders", "SELECT count(*) FROM eventbus_outbox WHERE attempts > 1")
    assert int(repeated[0]) > 0, "what the killed nsqd held was announced again"


def test_an_nsqd_stopped_and_started(shop: Shop) -> None:
    (victim,) = shop.stack.containers("nsqd2")

    def fault() -> None:
        shop.stack.docker("stop", "--time", "20", victim)
        time.sleep(2.0)
        shop.stack.docker("start", victim)

    shop.place_while(60, fault)
    shop.balances()


def test_postgres_restarted(shop: Shop) -> None:
    (victim,) = shop.stack.containers("postgres")
    shop.place_while(60, lambda: shop.stack.docker("restart", "--time", "20", victim))
    shop.balances()


def test_mails_wait_while_the_mail_server_is_away(shop: Shop) -> None:
    shop.balances()  # MailDev forgets all mails when it stops; these are counted
    (victim,) = shop.stack.containers("maildev")
    shop.stack.docker("stop", "--time", "5", victim)
    shop.place(30)
    time.sleep(5.0)
    shop.stack.docker("start", victim)
    shop.balances()


def test_the_page_follows_an_order_over_all_containers(shop: Shop) -> None:
    http = urllib3.PoolManager(retries=False, timeout=30.0)
    page = shop.stack.page
    assert http.request("GET", f"{page}/flow").status == 401, "not without the token"
    entered = http.request(
        "POST",
        f"{page}/enter",
        fields={"token": shop.stack.page_token},
        encode_multipart=False,
        headers={"Origin": page},
        redirect=False,
    )
    assert entered.status == 302
    cookie = {"Cookie": entered.headers["Set-Cookie"].partition(";")[0]}
    (order,) = make_orders(1, seed=4711)
    id = shop.stack.place(order.body)
    shop.placed += 1
    shop.balances()
    deadline = time.monotonic() + 60
    while True:
        found = json.loads(http.request("GET", f"{page}/journey?key={id}", headers=cookie).data)
        types = {each["type"] for each in found.get("events", ())}
        if {"OrderPlaced", "MailPrepared", "OrderConfirmed"} <= types or time.monotonic() > deadline:
            break
        time.sleep(1.0)
    assert {"OrderPlaced", "MailPrepared", "OrderConfirmed"} <= types, found
    assert {each["source"] for each in found["events"]} == {"orders", "fulfillment", "email_confirmation"}


def test_stopping_drains(shop: Shop) -> None:
    services = ("orders", "fulfillment", "email_confirmation")
    shop.place(40)
    shop.stack.compose("stop", *services)
    for service in services:
        for container in shop.stack.containers(service):
            code = shop.stack.docker("inspect", "--format", "{{.State.ExitCode}}", container)
            assert code == "0", f"{service} ended with {code}:\n{shop.stack.logs(service)[-3000:]}"
    shop.stack.compose("up", "--detach", "--wait", "--no-recreate")
    shop.balances()


def test_each_service_is_shut_in(shop: Shop) -> None:
    for service in ("orders", "fulfillment", "email_confirmation"):
        container = shop.stack.containers(service)[0]
        assert shop.stack.docker("exec", container, "ls", "/opt/app/services") == service
        assert shop.stack.docker("exec", container, "id", "-u") == "10001"
        assert shop.stack.docker("inspect", "--format", "{{.HostConfig.ReadonlyRootfs}}", container) == "true"
        said = shop.stack.docker("exec", container, "python", "-c", _TRY_ALL)
        assert said == "2", "the two databases of the others refuse it"
    ports = shop.stack.docker("ps", "--filter", f"name={shop.stack.name}", "--format", "{{.Ports}}")
    assert "0.0.0.0" not in ports
    assert "[::]" not in ports


_TRY_ALL = """
import os, psycopg
(url,) = [value for name, value in os.environ.items() if name.endswith("DATABASE_URL")]
(file,) = [value for name, value in os.environ.items() if name.endswith("PASSWORD_FILE")]
password = open(file).read()
refused = 0
for other in ("orders", "fulfillment", "email_confirmation"):
    try:
        psycopg.connect(url.rsplit("/", 1)[0] + "/" + other, password=password).close()
    except psycopg.OperationalError as error:
        refused += "permission denied" in str(error)
print(refused)
"""
