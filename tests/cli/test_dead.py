from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eventbus import Bus, Reject
from eventbus.testing.conformance.kit import Seen, listener, numbered, publish_numbers
from tests.cli.kit import Done, Shop
from tests.nsqd import Nsqd
from tests.waiting import eventually

MakeBus = Callable[..., Bus]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


class Parked:
    """Dead letters of a topic, and the commands on them."""

    def __init__(self, shop: Shop, nsqd: Nsqd, make_bus: MakeBus, count: int) -> None:
        self.shop = shop
        self.nsqd = nsqd
        self.kind = numbered()
        self.topic: str = self.kind.__event_info__.topic
        self.bus = make_bus(nsqd.url)

        def refuse(event: Any, context: Any) -> None:
            raise Reject("odd" if event.number % 2 else "even")

        service = listener(self.kind, Seen(), name="reader", act=refuse)
        self.bus.start(service)
        publish_numbers(self.bus, self.kind, range(count))
        eventually(lambda: self.bus.dead_letters(self.topic, "reader").count() == count)
        self.bus.stop()

    def run(self, verb: str, *more: str) -> Done:
        return self.shop.run("dead", verb, self.topic, "reader", *more, EVENTBUS_URL=self.nsqd.url)

    def list(self, *more: str) -> list[dict[str, Any]]:
        done = self.run("list", "--json", *more)
        assert done.code == 0, done.err
        found: list[dict[str, Any]] = json.loads(done.out)
        return found

    def bus_count(self) -> int:
        """Dead letters that nsqd holds, waiting or in flight."""
        for topic in self.nsqd.get("/stats", format="json")["topics"]:
            if topic["topic_name"] == f"{self.topic}.reader.dead":
                return sum(int(each["depth"]) + int(each["in_flight_count"]) for each in topic["channels"])
        return 0

    def waiting(self) -> int:
        """Dead letters that nobody holds."""
        for topic in self.nsqd.get("/stats", format="json")["topics"]:
            if topic["topic_name"] == f"{self.topic}.reader.dead":
                return sum(int(each["depth"]) for each in topic["channels"])
        return 0

    def depth(self, channel: str = "reader") -> int:
        for topic in self.nsqd.get("/stats", format="json")["topics"]:
            if topic["topic_name"] == self.topic:
                return next(int(each["depth"]) for each in topic["channels"] if each["channel_name"] == channel)
        return 0


def test_they_are_listed_and_shown_and_stay(shop: Shop, nsqd: Nsqd, make_bus: MakeBus) -> None:
    parked = Parked(shop, nsqd, make_bus, 10)
    found = parked.list()
    assert len(found) == 10
    assert {each["reason"] for each in found} == {"rejected: odd", "rejected: even"}
    assert sorted(each["event"]["data"]["number"] for each in found) == list(range(10))
    assert all(each["attempts"] == 1 and each["event"]["type"] == each["type"] for each in found)
    assert len(parked.list("--reason", "ODD")) == 5
    assert len(parked.list("--limit", "3")) == 3
    assert len(parked.list("--since", "1h")) == 10
    assert parked.list("--since", "2099-01-01T00:00:00Z") == []
    identity = found[0]["id"]
    assert [each["id"] for each in parked.list("--id", identity)] == [identity]
    text = parked.run("list").out
    assert "10 of 10 dead letters" in text
    assert "rejected: odd" in text
    shown = parked.run("show", "--id", identity)
    assert '"number"' in shown.out
    assert f"id       {identity}" in shown.out
    missing = parked.run("show", "--id", "nobody")
    assert (missing.code, "has that id" in missing.err) == (2, True)
    assert len(parked.list()) == 10


def test_a_replay_goes_to_that_channel_alone(shop: Shop, nsqd: Nsqd, make_bus: MakeBus) -> None:
    parked = Parked(shop, nsqd, make_bus, 10)
    other, again = Seen(), Seen()
    bus = make_bus(nsqd.url)
    bus.start(listener(parked.kind, other, name="other"))
    done = parked.run("replay", "--reason", "odd", "--limit", "3")
    assert (done.code, done.out) == (0, "3 replayed, 7 left\n")
    done = parked.run("replay")
    assert done.out == "7 replayed, 0 left\n"
    bus.start(listener(parked.kind, again, name="reader"))
    eventually(lambda: len(again) == 10)
    assert sorted(again.numbers) == list(range(10))
    assert len(other) == 0


def test_discard_asks_and_throws_away_what_was_chosen(shop: Shop, nsqd: Nsqd, make_bus: MakeBus) -> None:
    parked = Parked(shop, nsqd, make_bus, 6)
    done = parked.run("discard")
    assert (done.code, "Nobody can be asked" in done.err) == (2, True)
    identity = parked.list("--reason", "odd")[0]["id"]
    assert parked.run("discard", "--id", identity, "--yes").out == "1 thrown away, 5 left\n"
    assert parked.run("discard", "--reason", "even", "--yes").out == "3 thrown away, 2 left\n"
    assert {each["reason"] for each in parked.list()} == {"rejected: odd"}


def test_bytes_that_are_no_event_are_shown_as_hex(shop: Shop, nsqd: Nsqd, make_bus: MakeBus) -> None:
    parked = Parked(shop, nsqd, make_bus, 0)
    nsqd.post("/channel/create", topic=parked.topic, channel="reader")
    shop.run("publish", parked.topic, "\x1b]0;evil", "--raw", EVENTBUS_URL=nsqd.url)
    bus = make_bus(nsqd.url)
    bus.start(listener(parked.kind, Seen(), name="reader"))
    eventually(lambda: bus.dead_letters(parked.topic, "reader").count() == 1)
    bus.stop()
    (letter,) = parked.list()
    assert (letter["hex"], "not decodable" in letter["reason"]) == (b"\x1b]0;evil".hex(), True)
    shown = parked.run("show", "--id", "")
    assert b"\x1b]0;evil".hex() in shown.out
    done = parked.run("replay")
    assert (done.code, "cannot be replayed" in done.err, "0 replayed before" in done.err) == (1, True, True)
    assert len(parked.list()) == 1


def test_thousands_are_replayed_and_an_interruption_loses_none(shop: Shop, nsqd: Nsqd, make_bus: MakeBus) -> None:
    parked = Parked(shop, nsqd, make_bus, 2000)
    assert len(parked.list("--limit", "5000")) == 2000
    for number in (signal.SIGINT, signal.SIGKILL, signal.SIGHUP):
        replay = subprocess.Popen(
            shop.command("dead", "replay", parked.topic, "reader"),
            cwd=shop.folder,
            env={**os.environ, **shop.environment, "EVENTBUS_URL": nsqd.url},
            stderr=subprocess.PIPE,
        )
        before = parked.depth()
        eventually(lambda before=before: parked.depth() > before + 20)  # type: ignore[misc]
        replay.send_signal(number)
        assert replay.stderr is not None
        told = replay.stderr.read().decode()
        replay.stderr.close()
        replay.wait()
        if number == signal.SIGINT:
            assert "replayed before it was interrupted; the others are still parked" in told
        assert "Traceback" not in told
        # what a killed one held comes back after its message timeout
        eventually(lambda: parked.waiting() == parked.bus_count())
    eventually(lambda: parked.depth() + parked.bus_count() >= 2000)
    assert parked.run("replay").code == 0
    again = Seen()
    bus = make_bus(nsqd.url)
    bus.start(listener(parked.kind, again, name="reader"))
    eventually(lambda: len(set(again.numbers)) == 2000)
    assert len(again) < 2030  # what was on its way at an interruption, twice


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("list", "t", "c", "--since", "lately"), "write 15m, 2h, 3d"),
        (("list", "bad topic", "c"), "only letters"),
        (("show", "t", "c"), "Missing option"),
        (("replay", "t", "c", "--limit", "0"), "Invalid value"),
        (("prune", "t", "c", "--older-than", "soon"), "--older-than soon: write 15m"),
        (("list", "no_such_topic", "c"), "no topic 'no_such_topic'"),
        (("show", "no_such_topic", "c", "--id", "x"), "no topic 'no_such_topic'"),
        (("replay", "no_such_topic", "c"), "no topic 'no_such_topic'"),
        (("discard", "no_such_topic", "c", "--yes"), "no topic 'no_such_topic'"),
        (("prune", "no_such_topic", "c", "--older-than", "1d", "--yes"), "no topic 'no_such_topic'"),
        (("list", "no_such_topic"), "name a channel as well"),
    ],
)
def test_mistakes_are_told(shop: Shop, nsqd: Nsqd, arguments: tuple[str, ...], words: str) -> None:
    done = shop.run("dead", *arguments, EVENTBUS_URL=nsqd.url)
    assert (done.code, words in done.err) == (2, True), done


def test_without_a_channel_all_are_counted_and_old_ones_are_pruned(shop: Shop, nsqd: Nsqd, make_bus: MakeBus) -> None:
    parked = Parked(shop, nsqd, make_bus, 3)
    done = shop.run("dead", "list", "--json", EVENTBUS_URL=nsqd.url)
    assert {"topic": parked.topic, "channel": "reader", "dead": 3} in json.loads(done.out)
    assert parked.topic in shop.run("dead", "list", EVENTBUS_URL=nsqd.url).out
    wrong = shop.run("dead", "list", parked.topic, "raeder", EVENTBUS_URL=nsqd.url)
    assert (wrong.code, "it has reader" in wrong.err) == (2, True)
    assert parked.run("prune", "--older-than", "1h", "--yes").code == 0
    assert parked.bus_count() == 3
    assert "3 thrown away" in parked.run("prune", "--older-than", "0s", "--yes").out
    assert parked.bus_count() == 0


def test_groups_tell_causes_and_their_keys_choose(shop: Shop, nsqd: Nsqd, make_bus: MakeBus) -> None:
    parked = Parked(shop, nsqd, make_bus, 9)
    done = parked.run("groups", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [(each["count"], each["kind"], each["cause"]) for each in found] == [
        (5, "rejected", "even"),
        (4, "rejected", "odd"),
    ]
    assert sum(each["share"] for each in found) == pytest.approx(1, abs=0.01)
    everywhere = shop.run("dead", "groups", EVENTBUS_URL=nsqd.url)
    assert "9 dead letters of 2 causes" in everywhere.out
    assert len(parked.list("--group", found[1]["key"])) == 4
    assert parked.run("discard", "--group", found[1]["key"][:6], "--yes").code == 0
    assert [each["reason"] for each in parked.list()] == ["rejected: even"] * 5
    assert shop.run("dead", "groups", parked.topic, EVENTBUS_URL=nsqd.url).code == 2
