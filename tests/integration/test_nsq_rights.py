"""NSQ's AUTH with what `eventbus describe --auth` prints: with exactly these permissions a service works."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from gevent.pywsgi import WSGIServer

from eventbus import Bus, Reject, Service
from eventbus.cli.rights import rights_of
from eventbus.errors import PublishError
from eventbus.middleware import Outcome
from eventbus.outcomes import Telling, listen
from eventbus.sql import Database, Inbox, Outbox, Receipts, SqlContext, metadata
from tests.cli.running import run_command
from tests.conftest import sqlite_alone
from tests.nsqd import Nsqd
from tests.sql.events import Placed, Shipped, effects_in, note, tables
from tests.waiting import eventually

Grants = dict[str, list[dict[str, Any]]]


class AuthServer:
    """A real auth server that answers each secret with its permissions."""

    def __init__(self) -> None:
        self.grants: Grants = {}
        self._server = WSGIServer(("127.0.0.1", 0), self._answer, log=None)
        self._server.start()
        self.address = f"127.0.0.1:{self._server.server_port}"

    def _answer(self, environ: Any, start_response: Any) -> list[bytes]:
        secret = parse_qs(environ["QUERY_STRING"]).get("secret", [""])[0]
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"ttl": 60, "identity": secret, "authorizations": self.grants.get(secret, [])}).encode()]

    def stop(self) -> None:
        self._server.stop(timeout=0.1)


@pytest.fixture
def auth() -> Iterator[AuthServer]:
    made = AuthServer()
    yield made
    made.stop()


def _services(new_database: Callable[..., Database]) -> tuple[Outbox, Service, Database]:
    shop, depot = (new_database(metadata, tables) for _ in range(2))
    service = Service("depot")
    shipments = Outbox(depot, source="depot", receipts=None)

    @service.on(Placed, inbox=Inbox(depot, outbox=shipments))
    def ship(event: Placed, context: SqlContext) -> Shipped:
        if event.number < 0:
            raise Reject("no such number")
        note(context.connection, event.number)
        return Shipped(number=event.number)

    return Outbox(shop, source="shop", receipts=Receipts()), service, depot


@pytest.mark.nsqd
@sqlite_alone
def test_with_exactly_these_permissions_everything_works(auth: AuthServer, new_database: Callable[..., Database]) -> None:
    nsqd = Nsqd(f"-auth-http-address={auth.address}")
    url = nsqd.url + "&auth_secret="
    outbox, depot, base = _services(new_database)
    shop = Service("shop")
    shop.attach(outbox)
    auth.grants = {
        "depot": rights_of(depot, (), ages=False),
        "shop": rights_of(shop, ("placed",), ages=False),
        "page": [
            {"topic": r"^eventbus\.listening\#ephemeral$", "channels": [".*"], "permissions": ["publish"]},
            {"topic": r"^eventbus\.outcomes\#ephemeral$", "channels": ["^page-"], "permissions": ["subscribe"]},
        ],
    }
    telling, told = Telling(), list[str]()
    try:
        with (
            Bus(url + "depot", source="depot", middleware=[telling]) as theirs,
            Bus(url + "page", source="page") as page,
            Bus(url + "shop", source="shop") as ours,
        ):
            theirs.start(depot)
            theirs.attach(telling)
            ours.attach(outbox)
            listening = listen(page, lambda batch: told.extend(each.outcome for each in batch.records), "page")
            eventually(lambda: telling.is_on, "the call of a listener")
            for number in (1, -1, 2):
                outbox.database.transact(lambda connection, number=number: outbox.add(connection, Placed(number=number)))  # type: ignore[misc]
            eventually(lambda: effects_in(base) == [1, 2])
            eventually(lambda: outbox.backlog().unsettled == 0, "receipts to settle all")
            eventually(lambda: told.count("handled") >= 2 and "parked" in told, "what is told")
            listening.close()
            letters = theirs.engine.stats()["placed.depot.dead"]
            assert letters.messages == 1
            with pytest.raises(PublishError, match="E_UNAUTHORIZED"):
                ours.publish(Shipped(number=1), timeout=2.0)
    finally:
        nsqd.end()


@pytest.mark.nsqd
@sqlite_alone
@pytest.mark.parametrize("topic", ["placed", "placed.receipts", "placed.depot.dead", "eventbus.listening#ephemeral"])
def test_without_one_of_them_the_error_says_which(
    topic: str, auth: AuthServer, new_database: Callable[..., Database], caplog: pytest.LogCaptureFixture
) -> None:
    nsqd = Nsqd(f"-auth-http-address={auth.address}")
    url = nsqd.url + "&auth_secret="
    _, depot, _ = _services(new_database)
    telling = Telling()
    rights = rights_of(depot, (), ages=False)
    permission = "subscribe" if topic in ("placed", "eventbus.listening#ephemeral") else "publish"
    auth.grants = {
        "depot": [each for each in rights if (each["topic"], each["permissions"]) != (f"^{re.escape(topic)}$", [permission])]
    }
    assert len(auth.grants["depot"]) == len(rights) - 1
    auth.grants["any"] = [{"topic": ".*", "channels": [".*"], "permissions": ["publish", "subscribe"]}]
    try:
        with (
            Bus(url + "depot", source="depot", middleware=[telling]) as bus,
            Bus(url + "any", source="x") as other,
        ):
            bus.attach(telling)
            bus.start(depot)
            other.publish(Placed(number=-1))
            eventually(lambda: "E_UNAUTHORIZED" in caplog.text and topic in caplog.text)
            if topic.startswith("eventbus."):  # the service itself does without
                eventually(lambda: bus.dispatchers[0].counts[Outcome.PARKED] == 1, "the event is parked")
    finally:
        nsqd.end()


def test_the_command_prints_them_for_each_service() -> None:
    done = run_command("describe", "services.fulfillment:service", "--auth", "--publishes", "stock", folder=Path.cwd())
    assert done.code == 0, done.err
    granted = json.loads(done.out)["fulfillment"]
    publishes = [each["topic"] for each in granted if each["permissions"] == ["publish"] and each["topic"].count("\\.") == 0]
    assert publishes == ["^orders_placed$", "^orders_rejected$", "^orders_shipped$", "^stock$"]
    assert {"topic": "^orders_placed$", "channels": ["^fulfillment$"], "permissions": ["subscribe"]} in granted
    odd = run_command("describe", "services.fulfillment:service", "--auth", "--publishes", "a b", folder=Path.cwd())
    assert "topic name 'a b'" in odd.err
