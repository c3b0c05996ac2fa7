"""eventbus tail: looking on without taking anything."""

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

from tests.cli.kit import Shop, events
from tests.nsqd import Nsqd, Process
from tests.waiting import PATIENCE, eventually

Ends = Callable[[Any], Any]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


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
