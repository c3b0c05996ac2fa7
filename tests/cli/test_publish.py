from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from eventbus.wire.codec import decode
from tests.cli.kit import Shop, events
from tests.nsqd import Nsqd
from tests.waiting import eventually

CONTRACTS = Path(__file__).parent.parent.parent / "contracts"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def order(**changes: object) -> str:
    schema = json.loads((CONTRACTS / "orders_placed" / "OrderPlaced.v1.json").read_text())
    return json.dumps({**schema["examples"][0], **changes})


def taken(nsqd: Nsqd, shop: Shop, topic: str, count: int) -> list[bytes]:
    """The bodies on a topic, by nsqd's own means."""
    done = shop.run("tail", topic, "--channel", "taker", "--json", "--yes", "-n", str(count), EVENTBUS_URL=nsqd.url)
    assert done.code == 0, done.err
    return [line.encode() for line in done.out.splitlines()]


def test_an_event_is_checked_by_its_contract_and_published(shop: Shop, nsqd: Nsqd) -> None:
    url = {"EVENTBUS_URL": nsqd.url}
    done = shop.run("publish", "orders_placed", order(), "--contracts", str(CONTRACTS), "--subject", "o-1", **url)
    assert done.code == 0, done.err
    (line,) = taken(nsqd, shop, "orders_placed", 1)
    event = json.loads(line)
    assert (event["type"], event["source"], event["subject"], event["id"]) == (
        *("OrderPlaced", "eventbus-cli", "o-1"),
        done.out.strip(),
    )
    assert event["data"]["email"]


def test_by_a_class_from_a_file_and_from_a_pipe(shop: Shop, nsqd: Nsqd) -> None:
    url = {"EVENTBUS_URL": nsqd.url}
    (shop.folder / "one.json").write_text('{\n  "number": 1\n}\n')
    (shop.folder / "many.jsonl").write_text(events(range(2, 1002)))
    for what, given in (("@one.json", ""), ("@many.jsonl", ""), ("-", events(range(1002, 2002)))):
        done = shop.run("publish", "shop_placed", what, "--event", "shop:Placed", given=given, **url)
        assert done.code == 0, done.err
    assert "1,000 published, 0 refused" in done.err
    lines = taken(nsqd, shop, "shop_placed", 2001)
    assert sorted(json.loads(line)["data"]["number"] for line in lines) == list(range(1, 2002))


def test_lines_that_are_no_event_are_named_and_the_others_published(shop: Shop, nsqd: Nsqd) -> None:
    given = '{"number": 1}\n{"number": "many"}\nno json\n\n{"number": 2, "colour": "red"}\n{"number": 3}\n'
    done = shop.run("publish", "shop_placed", "-", "--event", "shop:Placed", given=given, EVENTBUS_URL=nsqd.url)
    assert done.code == 1
    assert "line 2: Placed: field number" in done.err
    assert "line 3: no JSON" in done.err
    assert "line 5: Placed: field colour" in done.err
    assert "2 published, 3 refused" in done.err
    assert [json.loads(line)["data"]["number"] for line in taken(nsqd, shop, "shop_placed", 2)] == [1, 3]


def test_what_came_does_not_wait_for_what_may_never_come(shop: Shop, nsqd: Nsqd) -> None:
    publish = subprocess.Popen(
        shop.command("publish", "shop_placed", "-", "--event", "shop:Placed"),
        cwd=shop.folder,
        env={**os.environ, **shop.environment, "EVENTBUS_URL": nsqd.url},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert publish.stdin is not None
    assert publish.stderr is not None
    publish.stdin.write(events([1, 2]).encode())
    publish.stdin.flush()

    def published() -> int:
        return sum(each["message_count"] for each in nsqd.get("/stats", format="json")["topics"])

    eventually(lambda: published() == 2)
    publish.stdin.write(events([3]).encode())
    publish.stdin.close()
    assert "3 published, 0 refused" in publish.stderr.read().decode()
    publish.stderr.close()
    assert publish.wait() == 0


def test_a_broker_that_goes_away_in_the_middle_says_how_far_it_came(shop: Shop, nsqd: Nsqd) -> None:
    publish = subprocess.Popen(
        shop.command("publish", "shop_placed", "-", "--event", "shop:Placed"),
        cwd=shop.folder,
        env={**os.environ, **shop.environment, "EVENTBUS_URL": nsqd.url, "EVENTBUS_PUBLISH_TIMEOUT": "10"},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert publish.stdin is not None
    assert publish.stderr is not None
    publish.stdin.write(events([1, 2]).encode())
    publish.stdin.flush()
    eventually(lambda: sum(each["message_count"] for each in nsqd.get("/stats", format="json")["topics"]) == 2)
    nsqd.stop()
    publish.stdin.write(events([3, 4, 5]).encode())
    publish.stdin.close()
    told = publish.stderr.read().decode()
    publish.stderr.close()
    assert publish.wait() in (1, 3)
    assert "2 published, 0 refused; of the 3 events up to line 5 it is not known" in told
    assert "Traceback" not in told
    nsqd.start()


def test_raw_bytes_are_published_as_they_are(shop: Shop, nsqd: Nsqd) -> None:
    url = {"EVENTBUS_URL": nsqd.url}
    assert shop.run("publish", "raw", "hello", "--raw", **url).code == 0
    (shop.folder / "bytes").write_bytes(b"\x00\xff\n\x01")
    assert shop.run("publish", "raw", "@bytes", "--raw", **url).code == 0
    assert shop.run("publish", "raw", "-", "--raw", given=b"one\n\xfe\n", **url).code == 0
    found = [json.loads(line) for line in taken(nsqd, shop, "raw", 4)]
    assert sorted(each["hex"] for each in found) == sorted(["68656c6c6f", "00ff0a01", "6f6e65", "fe"])
    assert all(each["undecodable"] for each in found)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("orders_placed", "{"), 2, "no JSON"),
        (("orders_placed", "NaN"), 2, "NaN is no JSON"),
        (("raw", "", "--raw"), 2, "0 bytes: a message has 1 to"),
        (("orders_placed", "@nowhere.json"), 2, "nowhere.json: No such file"),
        (("nobody_knows", "{}"), 2, "has no contract"),
        (("orders_placed", "{}", "--type", "OrderBurnt"), 2, "there are OrderPlaced v1"),
        (("orders_placed", "{}", "--version", "9"), 2, "there are OrderPlaced v1"),
        (("shop_placed", '{"number": 1}', "--event", "shop:handle"), 2, "no class derived from eventbus.Event"),
        (("other", '{"number": 1}', "--event", "shop:Placed"), 2, "belongs to topic 'shop_placed'"),
        (("shop_placed", '{"number": "x"}', "--event", "shop:Placed"), 4, "field number"),
        (("bad topic!", "{}"), 2, "only letters, digits"),
        (("orders_placed", "{}", "--contracts", "nowhere"), 2, "no such folder"),
    ],
)
def test_mistakes_of_publish_are_told_in_a_line(shop: Shop, arguments: tuple[str, ...], code: int, words: str) -> None:
    given = () if "--contracts" in arguments else ("--contracts", str(CONTRACTS))
    done = shop.run("publish", *arguments, *given, EVENTBUS_URL="memory://")
    assert (done.code, words in done.err, done.out) == (code, True, ""), done


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"lines": [{"sku": "S", "quantity": 0, "price": "1.00"}]}, "lines.0.quantity"),
        ({"order_id": "not-an-id"}, "order_id"),
        ({"placed_at": "yesterday"}, "placed_at"),
        ({"email": 5}, "email"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_an_event_that_does_not_fit_its_contract_names_the_field(shop: Shop, change: dict[str, Any], field: str) -> None:
    done = shop.run("publish", "orders_placed", order(**change), "--contracts", str(CONTRACTS), EVENTBUS_URL="memory://")
    assert done.code == 4, done
    assert f"field {field}" in done.err


def test_no_broker_is_exit_code_3(shop: Shop) -> None:
    for arguments in (("publish", "t", "x", "--raw"), ("tail", "t"), ("topics",), ("top",), ("pause", "t")):
        done = shop.run(*arguments, EVENTBUS_URL="nsq+direct://127.0.0.1:1")
        assert done.code == 3, done
        assert "127.0.0.1:1" in done.err


def test_publish_on_the_memory_engine_says_that_nobody_hears(shop: Shop) -> None:
    done = shop.run("publish", "shop_placed", '{"number": 1}', "--event", "shop:Placed", EVENTBUS_URL="memory://")
    assert done.code == 0
    assert "nobody else sees" in done.err
    for arguments in (("tail", "t"), ("topics",), ("top",), ("pause", "t"), ("dead", "list", "t", "c")):
        assert "lives in one process" in shop.run(*arguments, EVENTBUS_URL="memory://").err


def test_what_is_published_decodes_by_the_library(shop: Shop, nsqd: Nsqd) -> None:
    shop.run("publish", "shop_placed", '{"number": 8}', "--event", "shop:Placed", EVENTBUS_URL=nsqd.url)
    (line,) = taken(nsqd, shop, "shop_placed", 1)
    tree = json.loads(line)
    tree.pop("topic")
    assert decode(json.dumps(tree).encode()).data == {"number": 8, "seconds": 0.0}
