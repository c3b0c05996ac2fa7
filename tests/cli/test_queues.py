from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventbus.engines.base import ChannelStats, TopicStats
from eventbus.page.rates import rates_between
from tests.cli.kit import Shop, events
from tests.nsqd import Nsqd, Nsqlookupd
from tests.waiting import PATIENCE, eventually


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def publish(shop: Shop, nsqd: Nsqd, count: int) -> None:
    done = shop.run(
        "publish", "shop_placed", "-", "--event", "shop:Placed", given=events(range(count)), EVENTBUS_URL=nsqd.url
    )
    assert done.code == 0


def channel_of(nsqd: Nsqd) -> Any:
    (topic,) = nsqd.get("/stats", format="json")["topics"]
    (channel,) = topic["channels"]
    return channel


def test_declare_makes_topics_and_channels_and_topics_lists_them(shop: Shop, nsqd: Nsqd) -> None:
    url = {"EVENTBUS_URL": nsqd.url}
    done = shop.run("declare", "shop:make", "--factory", "--json", **url)
    assert json.loads(done.out) == [{"topic": "shop_placed", "channel": "shopper"}]
    publish(shop, nsqd, 7)
    done = shop.run("topics", **url)
    assert done.code == 0
    assert [line.split() for line in done.out.splitlines() if "shopper" in line] == [["shopper", "7", "0", "0", "0", "0"]]
    (topic,) = json.loads(shop.run("topics", "shop_*", "--json", **url).out)
    assert (topic["topic"], topic["messages"], topic["dead_letters"]) == ("shop_placed", 7, False)
    assert topic["channels"][0] | {"depth": 7, "consumers": 0} == topic["channels"][0]
    assert json.loads(shop.run("topics", "other*", "--json", **url).out) == []


def test_declare_on_the_memory_engine_says_that_nobody_hears(shop: Shop) -> None:
    done = shop.run("declare", "shop:service", EVENTBUS_URL="memory://")
    assert (done.code, done.out) == (0, "shop_placed / shopper\n")
    assert "nobody else sees" in done.err


@pytest.mark.parametrize("words", [("topics",), ("topics", "--json"), ("describe", "shop:service"), ("doctor",)])
def test_a_reader_that_goes_away_is_no_error(shop: Shop, nsqd: Nsqd, words: tuple[str, ...]) -> None:
    for number in range(50):
        nsqd.post("/topic/create", topic=f"topic{number}")
    process = subprocess.Popen(
        shop.command(*words),
        cwd=shop.folder,
        env={**os.environ, **shop.environment, "EVENTBUS_URL": nsqd.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), complaint) == (0, b"")


def test_topics_of_a_cluster_are_summed(shop: Shop, lookupd: Nsqlookupd, ends: Callable[[Any], Any]) -> None:
    nsqds = [ends(Nsqd(lookupds=(lookupd,))) for _ in range(2)]
    for each in nsqds:
        each.post("/topic/create", topic="t")
        each.post("/channel/create", topic="t", channel="c")
    url = f"nsq://{lookupd.http}"
    eventually(lambda: "c" in shop.run("topics", "--bus", url).out)
    for _ in range(4):
        assert shop.run("publish", "t", "x", "--raw", "--bus", url).code == 0

    def depth() -> int:
        found = json.loads(shop.run("topics", "--json", "--bus", url).out)
        return int(found[0]["channels"][0]["depth"])

    eventually(lambda: depth() == 4)


def test_pause_resume_and_empty(shop: Shop, nsqd: Nsqd) -> None:
    url = {"EVENTBUS_URL": nsqd.url}
    shop.run("declare", "shop:service", **url)
    publish(shop, nsqd, 5)
    done = shop.run("pause", "shop_placed", "shopper", **url)
    assert "5 wait" in done.out
    assert channel_of(nsqd)["paused"]
    assert "paused" in shop.run("topics", **url).out
    assert shop.run("resume", "shop_placed", "shopper", **url).code == 0
    assert not channel_of(nsqd)["paused"]
    assert shop.run("pause", "shop_placed", **url).code == 0
    assert nsqd.get("/stats", format="json")["topics"][0]["paused"]
    assert shop.run("resume", "shop_placed", **url).code == 0
    done = shop.run("empty", "shop_placed", "shopper", **url)
    assert (done.code, channel_of(nsqd)["depth"]) == (2, 5)
    assert "give --yes" in done.err
    done = shop.run("empty", "shop_placed", "shopper", "--yes", **url)
    assert (done.code, channel_of(nsqd)["depth"]) == (0, 0)


def test_a_name_that_is_misspelled_is_told_and_not_made(shop: Shop, nsqd: Nsqd) -> None:
    url = {"EVENTBUS_URL": nsqd.url}
    shop.run("declare", "shop:service", **url)
    for verb in ("pause", "resume", "empty"):
        done = shop.run(verb, "shop_paced", **url)
        assert (done.code, "no topic 'shop_paced'" in done.err) == (2, True)
        done = shop.run(verb, "shop_placed", "shoper", **url)
        assert (done.code, "it has shopper" in done.err) == (2, True)
    assert len(nsqd.get("/stats", format="json")["topics"]) == 1


def test_top_prints_looks_with_rates(shop: Shop, nsqd: Nsqd) -> None:
    url = {"EVENTBUS_URL": nsqd.url}
    shop.run("declare", "shop:service", **url)
    top = subprocess.Popen(
        shop.command("top", "--json", "--interval", "0.5"),
        cwd=shop.folder,
        env={**os.environ, **shop.environment, **url},
        stdout=subprocess.PIPE,
    )
    assert top.stdout is not None
    top.stdout.readline()
    publish(shop, nsqd, 300)
    looks: list[Any] = []
    while not looks or looks[-1]["topics"][0]["channels"][0]["depth"] < 300:
        looks.append(json.loads(top.stdout.readline()))
    top.send_signal(signal.SIGINT)
    top.stdout.close()
    assert top.wait(PATIENCE) == 130
    assert max(look["topics"][0]["published_per_second"] for look in looks) > 10
    assert looks[-1]["topics"][0]["channels"][0]["depth"] == 300
    assert len(shop.run("top", "--json", "-n", "8", "--interval", "0.1", **url).out.splitlines()) == 8
    done = shop.run("top", "-n", "2", "--interval", "0.1", **url)
    assert done.out.count("1 topics, 300 messages wait, 0 dead letters") == 2


def test_top_on_a_terminal_redraws_in_place_with_dead_letters_in_red(shop: Shop, nsqd: Nsqd) -> None:
    nsqd.post("/topic/create", topic="shop_placed.shopper.dead")
    nsqd.post("/channel/create", topic="shop_placed.shopper.dead", channel="parked")
    shop.run("publish", "shop_placed.shopper.dead", "x", "--raw", EVENTBUS_URL=nsqd.url)
    ours, theirs = pty.openpty()
    environment = {**os.environ, **shop.environment, "EVENTBUS_URL": nsqd.url, "TERM": "xterm-256color"}
    del environment["NO_COLOR"]
    top = subprocess.Popen(shop.command("top"), stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=shop.folder)
    os.close(theirs)
    text = b""
    deadline = time.monotonic() + PATIENCE
    while text.count(b"dead letters") < 3 and time.monotonic() < deadline:
        if select.select([ours], [], [], 0.2)[0]:
            text += os.read(ours, 65536)
    top.send_signal(2)
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        text += part
    os.close(ours)
    assert top.wait(PATIENCE) == 130
    assert b"\x1b[?1049h" in text  # another screen, and back
    assert b"\x1b[?1049l" in text
    assert b"\x1b[31m" in text
    assert b"Traceback" not in text


def test_rates_do_not_go_backwards_when_a_broker_restarts() -> None:
    def stats(messages: int, depth: int) -> dict[str, TopicStats]:
        return {"t": TopicStats(0, {"c": ChannelStats(depth, 0, 0, 1, False, messages, 0, 0)}, False, messages)}

    rates = rates_between(stats(100, 50), stats(300, 50), 2.0)
    assert (rates.published["t"], rates.handled["t", "c"]) == (100.0, 100.0)
    rates = rates_between(stats(100, 0), stats(3, 0), 2.0)
    assert (rates.published["t"], rates.handled["t", "c"]) == (0.0, 0.0)
    assert rates_between({}, stats(3, 0), 1.0).published == {}


def test_who_listens_has_the_name_of_its_service_and_instance(shop: Shop, nsqd: Nsqd, ends: Callable[[Any], Any]) -> None:
    url = {"EVENTBUS_URL": nsqd.url}
    ends(shop.start("run", "shop:service", "--workers", "2", **url))
    names = [f"shopper@{socket.gethostname()}/{number}" for number in (1, 2)]

    def channel() -> Any:
        found = json.loads(shop.run("topics", "shop_placed", "--json", **url).out)
        return found[0]["channels"][0] if found and found[0]["channels"] else {"clients": []}

    eventually(lambda: channel()["clients"] == names, "both workers at nsqd")
    assert channel()["consumers"] == 2
    for words in (("topics", "shop_placed"), ("top", "shop_placed", "-n", "1")):
        lines = [line.strip() for line in shop.run(*words, "--users", **url).out.splitlines()]
        assert [line for line in lines if line.startswith("shopper@")] == names
        assert "shopper@" not in shop.run(*words, **url).out
    given = {"EVENTBUS_URL": f"{nsqd.url}&client_id=mine"}
    ends(shop.start("run", "shop:service", **given))
    eventually(lambda: channel()["clients"] == ["mine", *names], "the name that the URL gives")
