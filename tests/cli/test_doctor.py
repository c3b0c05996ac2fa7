from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from eventbus.doctor import Level
from eventbus.doctor.channels import check_channels
from eventbus.doctor.environment import check_environment
from eventbus.engines.base import ChannelStats, TopicStats
from eventbus.sql import Database, metadata
from tests.cli.kit import Shop, events
from tests.nsqd import Nsqd, Nsqlookupd
from tests.waiting import eventually

Ends = Callable[[Any], Any]
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def findings(shop: Shop, *arguments: str, code: int, **variables: str) -> list[tuple[str, str, str]]:
    done = shop.run("doctor", *arguments, "--json", "--watch", "0.3", **variables)
    assert done.code == code, done
    found = json.loads(done.out)
    assert all(each["mend"] for each in found if each["level"] in ("warning", "fault"))
    return [(each["level"], each["check"], each["text"]) for each in found]


def has(found: list[tuple[str, str, str]], level: str, check: str, words: str) -> bool:
    return any((each[0], each[1]) == (level, check) and words in each[2] for each in found)


def test_a_good_set_up_is_good(shop: Shop, lookupd: Nsqlookupd, ends: Ends) -> None:
    second: Nsqlookupd = ends(Nsqlookupd())
    for _ in range(2):
        ends(Nsqd("-max-rdy-count=5000", lookupds=(lookupd, second)))
    url = f"nsq://{lookupd.http},{second.http}"
    eventually(lambda: len(shop.run("topics", "--bus", url).err) > 0)
    eventually(lambda: shop.run("declare", "shop:service", "--bus", url).code == 0)

    said: list[str] = []

    def is_good() -> bool:
        done = shop.run("doctor", "shop:service", "--bus", url, "--strict", "--json", "--watch", "0.2")
        said[:] = [done.out]
        return done.code == 0

    eventually(is_good)
    found = [(each["level"], each["check"], each["text"]) for each in json.loads(said[0])]
    assert has(found, "ok", "nsqlookupd", "lists 2 nsqd")
    assert has(found, "ok", "agreement", "2 nsqlookupd list the same")
    assert has(found, "ok", "clock", "agrees")
    assert has(found, "ok", "channels", "all well")
    text = shop.run("doctor", "shop:service", "--bus", url, "--watch", "0.2").out
    assert text.splitlines()[-1].startswith("0 faults, 0 warnings")


def test_no_broker_is_exit_code_3_and_the_rest_is_told_all_the_same(shop: Shop) -> None:
    found = findings(shop, "shop:service", "--bus", "nsq://127.0.0.1:1", code=3)
    assert has(found, "fault", "broker", "no nsqlookupd answers")
    assert has(found, "ok", "versions", "gevent")


def test_the_memory_engine_has_no_cluster(shop: Shop) -> None:
    found = findings(shop, "shop:service", code=0, EVENTBUS_URL="memory://")
    assert has(found, "note", "engine", "no cluster")


def test_an_outbox_that_nobody_relays_is_named(shop: Shop, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/billing.db"
    with Database(url) as database:
        database.create_tables(metadata)
        row = {"event_id": "1", "topic": "placed", "type": "Placed", "body": b"x", "created_at": time.time() - 1000.0}
        insert = sa.insert(metadata.tables["eventbus_outbox"]).values(**row, due_at=0.0, wants_receipts=True)
        database.transact(lambda connection: connection.execute(insert))
    found = findings(shop, "--database", url, code=0, EVENTBUS_URL="memory://")
    assert has(found, "warning", "database", f"{url} has no relay")


def test_missing_orphaned_paused_and_dead(shop: Shop, nsqd: Nsqd) -> None:
    url = {"EVENTBUS_URL": nsqd.url}
    found = findings(shop, "shop:service", code=1, **url)
    assert has(found, "fault", "missing channels", "shopper listens to shop_placed on channel shopper")
    shop.run("declare", "shop:service", **url)
    nsqd.post("/channel/create", topic="shop_placed", channel="gone_service")
    shop.run("publish", "shop_placed", "-", "--event", "shop:Placed", given=events(range(3)), **url)
    shop.run("publish", "nobody", "x", "--raw", **url)
    shop.run("publish", "shop_placed.shopper.dead", "x", "--raw", **url)
    nsqd.post("/channel/create", topic="shop_placed.shopper.dead", channel="parked")
    nsqd.post("/channel/pause", topic="shop_placed", channel="shopper")
    found = findings(shop, "shop:service", code=0, **url)
    assert has(found, "warning", "orphan channels", "channel gone_service of shop_placed, where 3 messages wait")
    assert has(found, "warning", "orphan channels", "topic nobody has 1 messages and no channel")
    assert has(found, "warning", "paused", "channel shopper of shop_placed is paused; 3 messages wait")
    assert has(found, "warning", "dead letters", "1 dead letters of shop_placed on channel shopper")
    findings(shop, "shop:service", "--strict", code=1, **url)


def test_limits_of_nsqd_that_do_not_fit_ours(shop: Shop, ends: Ends) -> None:
    small: Nsqd = ends(Nsqd("-max-msg-size=1000", "-max-msg-timeout=30s", "-msg-timeout=10s", "-max-rdy-count=100"))
    shop.run("declare", "shop:service", EVENTBUS_URL=small.url)
    found = findings(shop, "shop:service", code=1, EVENTBUS_URL=small.url)
    assert has(found, "fault", "message size", "refuses messages as long as ours may be, 1,048,576 bytes")
    assert has(found, "fault", "timeouts", "handle may run 60 s")
    assert has(found, "note", "in flight", "100 deliveries")
    found = findings(shop, code=1, EVENTBUS_URL=small.url, EVENTBUS_MESSAGE_TIMEOUT="60")
    assert has(found, "fault", "timeouts", "the message timeout of 60 s is above")
    assert small.get("/stats", format="json")["topics"][0]["message_count"] == 0


def test_nsqlookupd_that_disagree(shop: Shop, lookupd: Nsqlookupd, ends: Ends) -> None:
    lonely: Nsqlookupd = ends(Nsqlookupd())
    nsqd: Nsqd = ends(Nsqd(lookupds=(lookupd,)))
    nsqd.post("/topic/create", topic="t")
    url = f"nsq://{lookupd.http},{lonely.http}"
    eventually(lambda: shop.run("topics", "--bus", url).code == 0)
    found = findings(shop, "--bus", url, code=1)
    assert has(found, "fault", "agreement", f"nsqlookupd {lonely.http} does not list nsqd {nsqd.tcp}")


def test_contracts_that_do_not_fit_are_exit_code_4(shop: Shop) -> None:
    (shop.folder / "reader.py").write_text(
        "from eventbus import Event, Service\n"
        "class OrderPlaced(Event, topic='orders_placed'):\n    order_id: int\n"
        "service = Service('reader')\n"
        "@service.on(OrderPlaced)\ndef read(event: OrderPlaced) -> None: ...\n"
    )
    found = findings(shop, "reader:service", "--contracts", str(ROOT / "contracts"), code=4, EVENTBUS_URL="memory://")
    assert has(found, "fault", "contracts", "order_id")


def test_a_service_that_cannot_be_imported_is_told(shop: Shop) -> None:
    done = shop.run("doctor", "nowhere:service")
    assert (done.code, "no such module" in done.err) == (2, True)


def test_variables_that_nobody_reads_are_named() -> None:
    found = [
        (each.level, each.text, each.mend)
        for each in check_environment(
            {"URL": 1, "CODEC": 1}, {"EVENTBUS_CODEX": "json", "EVENTBUS_NSQ_URL": "x", "HOME": "/"}
        )
        if each.check == "variables"
    ]
    assert found == [(Level.WARNING, "EVENTBUS_CODEX is set, and nothing reads it", "did you mean EVENTBUS_CODEC?")]


def test_growth_timeouts_and_repeated_failures() -> None:
    def look(depth: int, requeued: int = 0, timed_out: int = 0) -> dict[str, TopicStats]:
        channel = ChannelStats(depth, 0, 0, 2, False, 1000, requeued, timed_out)
        return {"t": TopicStats(0, {"c": channel}, False, 1000)}

    def checks(*looks: dict[str, TopicStats]) -> list[str]:
        return [each.check for each in check_channels(*looks, 2.0, [])]

    assert checks(look(5), look(9)) == ["channels"]
    assert checks(look(5), look(500)) == ["growing depth"]
    assert checks(look(5), look(5, timed_out=3)) == ["timeouts"]
    assert checks(look(5), look(5, requeued=900)) == ["failures"]
    text = next(iter(check_channels(look(5), look(505), 2.0, []))).text
    assert "gains 250 a second" in text


def test_a_certificate_that_ends_soon(shop: Shop, ends: Ends) -> None:
    import datetime

    import trustme

    authority = trustme.CA()
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=5)
    certificate = authority.issue_cert("127.0.0.1", not_after=soon)
    certificate.private_key_pem.write_to_path(str(shop.folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(shop.folder / "cert.pem"))
    authority.cert_pem.write_to_path(str(shop.folder / "ca.pem"))
    nsqd: Nsqd = ends(Nsqd(f"-tls-cert={shop.folder}/cert.pem", f"-tls-key={shop.folder}/key.pem"))
    found = findings(shop, code=0, EVENTBUS_URL=f"{nsqd.url}&tls=true&tls_ca={shop.folder}/ca.pem")
    assert has(found, "warning", "tls", "ends in 5 days")
