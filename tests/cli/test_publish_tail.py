from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventbus.wire.codec import decode
from tests.cli.kit import Shop, events
from tests.nsqd import Nsqd, Process
from tests.waiting import PATIENCE, eventually

Ends = Callable[[Any], Any]
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


def tailing(shop: Shop, nsqd: Nsqd, ends: Ends, *arguments: str) -> Process:
    """A tail that is connected to all of its topics, beside those that are there already."""
    wanted = [each for each in arguments if not each.startswith("-") and not each.isdigit()]

    def listening() -> Counter[str]:
        return Counter(
            topic["topic_name"]
            for topic in nsqd.get("/stats", format="json")["topics"]
            for channel in topic["channels"]
            if channel["channel_name"].startswith("tail-") and channel["client_count"]
        )

    before = listening()
    process: Process = ends(shop.start("tail", *arguments, EVENTBUS_URL=nsqd.url))
    eventually(lambda: all(listening()[name] > before[name] for name in wanted))
    return process


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


def test_tail_looks_on_and_takes_nothing_from_anybody(shop: Shop, nsqd: Nsqd, ends: Ends) -> None:
    url = {"EVENTBUS_URL": nsqd.url}
    shop.run("declare", "shop:service", **url)
    process = tailing(shop, nsqd, ends, "shop_placed", "-n", "3")
    shop.run("publish", "shop_placed", "-", "--event", "shop:Placed", given=events([1, 2]), **url)
    shop.run("publish", "shop_placed", "no event\x1b[31m", "--raw", **url)
    assert process.wait() == 0
    text = process.output()
    assert "Placed v1 from eventbus-cli on shop_placed" in text
    assert '{"number": 1, "seconds": 0.0}' in text
    assert b"no event\x1b[31m".hex() in text
    assert "\x1b" not in text
    (topic,) = nsqd.get("/stats", format="json")["topics"]
    assert [(each["channel_name"], each["depth"]) for each in topic["channels"]] == [("shopper", 3)]


def test_tail_waits_for_a_topic_and_does_not_make_it(shop: Shop, nsqd: Nsqd, ends: Ends) -> None:
    process: Process = ends(shop.start("tail", "shop_placed", "-n", "1", EVENTBUS_URL=nsqd.url))
    eventually(lambda: "waiting for shop_placed" in process.output())
    assert nsqd.get("/stats", format="json")["topics"] == []
    shop.run("declare", "shop:service", EVENTBUS_URL=nsqd.url)
    eventually(lambda: len(nsqd.get("/stats", format="json")["topics"][0]["channels"]) == 2)
    shop.run("publish", "shop_placed", '{"number": 8}', "--event", "shop:Placed", EVENTBUS_URL=nsqd.url)
    assert process.wait() == 0
    assert '"number": 8' in process.output()


def test_tail_does_not_steal_what_a_topic_keeps_for_its_first_channel(shop: Shop, nsqd: Nsqd) -> None:
    shop.run("publish", "shop_placed", '{"number": 8}', "--event", "shop:Placed", EVENTBUS_URL=nsqd.url)
    done = shop.run("tail", "shop_placed", EVENTBUS_URL=nsqd.url)
    assert done.code == 2
    assert "keeps 1 messages for its first channel" in done.err
    assert nsqd.get("/stats", format="json")["topics"][0]["depth"] == 1


def test_tail_of_a_channel_asks_first(shop: Shop, nsqd: Nsqd) -> None:
    done = shop.run("tail", "shop_placed", "--channel", "shopper", EVENTBUS_URL=nsqd.url)
    assert done.code == 2
    assert "taken away from channel 'shopper'" in done.err


def test_tail_shows_causes(shop: Shop, nsqd: Nsqd, ends: Ends) -> None:
    (shop.folder / "chain.py").write_text(
        "from eventbus import Event, Service\n"
        "class First(Event, topic='first'):\n    number: int\n"
        "class Second(Event, topic='second'):\n    number: int\n"
        "class Third(Event, topic='third'):\n    number: int\n"
        "a, b = Service('a'), Service('b')\n"
        "@a.on(First)\n"
        "def to_second(event: First) -> Second:\n    return Second(number=event.number)\n"
        "@b.on(Second)\n"
        "def to_third(event: Second) -> Third:\n    return Third(number=event.number)\n"
        "services = [a, b]\n"
    )
    url = {"EVENTBUS_URL": nsqd.url}
    shop.run("declare", "chain:services", **url)
    nsqd.post("/topic/create", topic="third")
    nsqd.post("/channel/create", topic="third", channel="keeper")
    whole = tailing(shop, nsqd, ends, "first", "second", "third", "--parents", "-n", "3")
    last = tailing(shop, nsqd, ends, "third", "--parents", "--json", "-n", "1")
    shop.run("publish", "first", '{"number": 1}', "--event", "chain:First", **url)
    # each cause is seen before its effect: topics have connections of their own, and these keep no order among them
    eventually(lambda: "First v1" in whole.output())
    assert shop.run("run", "chain:a", "--burst", **url).code == 0
    eventually(lambda: "Second v1" in whole.output())
    assert shop.run("run", "chain:b", "--burst", **url).code == 0
    assert whole.wait() == 0
    assert last.wait() == 0
    text = whole.output()
    third = text[text.index("Third v1") :]
    assert third.index("caused by Second from a") < third.index("caused by First from eventbus-cli")
    (event,) = [json.loads(line) for line in last.output().splitlines() if line.startswith("{")]
    assert event["parents"] == [event["causationid"], event["correlationid"]]


def test_a_reader_that_goes_away_ends_a_tail_and_loses_nothing(shop: Shop, nsqd: Nsqd) -> None:
    url = {"EVENTBUS_URL": nsqd.url}
    shop.run("publish", "shop_placed", "-", "--event", "shop:Placed", given=events(range(500)), **url)
    tail = subprocess.Popen(
        shop.command("tail", "shop_placed", "--channel", "keeper", "--yes", "--json"),
        cwd=shop.folder,
        env={**os.environ, **shop.environment, **url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert tail.stdout is not None
    assert tail.stderr is not None
    first = tail.stdout.readline()
    tail.stdout.close()
    complaint = tail.stderr.read().decode()
    tail.stderr.close()
    assert tail.wait(PATIENCE) == 0
    assert "Traceback" not in complaint
    assert json.loads(first)["data"]["number"] >= 0
    channel = nsqd.get("/stats", format="json")["topics"][0]["channels"][0]
    assert channel["depth"] > 0


def test_ctrl_c_ends_a_tail_without_a_trace(shop: Shop, nsqd: Nsqd, ends: Ends) -> None:
    shop.run("declare", "shop:service", EVENTBUS_URL=nsqd.url)
    process = tailing(shop, nsqd, ends, "shop_placed")
    process.signal(signal.SIGINT)
    assert process.wait() == 130
    assert "Traceback" not in process.output()


def test_what_is_published_decodes_by_the_library(shop: Shop, nsqd: Nsqd) -> None:
    shop.run("publish", "shop_placed", '{"number": 8}', "--event", "shop:Placed", EVENTBUS_URL=nsqd.url)
    (line,) = taken(nsqd, shop, "shop_placed", 1)
    tree = json.loads(line)
    tree.pop("topic")
    assert decode(json.dumps(tree).encode()).data == {"number": 8, "seconds": 0.0}
