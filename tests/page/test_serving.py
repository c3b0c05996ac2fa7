"""The page as browsers and attackers ask for it, on a bus of this process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from eventbus import Bus, ConfigurationError, Event, Reject, Service
from eventbus.contracts import publish
from eventbus.journal.reading import open_reading
from eventbus.outcomes import Telling
from eventbus.page.access import Access
from eventbus.page.server import PageServer
from eventbus.page.sources import Sources
from eventbus.page.watch import Watch
from tests.page.kit import ask, frames, served
from tests.waiting import eventually

TOKEN = "a-token-of-some-length"


class Paid(Event, topic="paid", version=1):
    amount: int


service = Service("ledger")


@service.on(Paid)
def book(event: Paid) -> None:
    if event.amount < 0:
        raise Reject(f"account {event.amount} is closed")


@pytest.fixture
def bus() -> Iterator[Bus]:
    telling = Telling()
    with Bus("memory://", source="till", middleware=[telling]) as made:
        made.attach(telling)
        made.start(service)
        yield made


def test_the_page_shows_the_flow_and_a_journey(bus: Bus) -> None:
    with served(bus, interval=0.1) as url:
        assert ask(url, "/").status == 200
        eventually(lambda: bus.middleware[0].is_on, "somebody tells")  # type: ignore[attr-defined]
        id = bus.publish(Paid(amount=1), subject="bill-77")
        eventually(lambda: ask(url, "/journey?key=bill-77").tree.get("sentence"), "the journey is told")
        found = ask(url, f"/journey?key={id[:13]}").tree
        assert found["sentence"] == "All is handled; nothing waits." and found["lanes"][0]["place"] == "paid/ledger"
        assert ask(url, "/find?key=Paid").tree["found"][0]["subject"] == "bill-77"
        (_, frame), (_, later) = frames(url, 2)
        assert {each["name"] for each in frame["topics"] if not each["internal"]} == {"paid"}
        assert later["topics"][-1]["publishers"][0]["name"] == "till"


def test_dead_letters_are_grouped_and_texts_are_cut(bus: Bus) -> None:
    with served(bus) as url:
        for amount in range(-5, 0):
            bus.publish(Paid(amount=amount))
        eventually(lambda: ask(url, "/answers/dead").tree["total"] == 5 or gevent.sleep(0.5), "all are parked")
        (group,) = ask(url, "/answers/dead").tree["groups"]
        assert (group["count"], group["topic"], group["channel"], group["kind"]) == (5, "paid", "ledger", "rejected")
        assert group["cause"] == "account … is closed" and len(group["ids"]) == 3


def test_a_cut_stream_goes_on_without_a_gap(bus: Bus) -> None:
    with served(bus, interval=0.05) as url:
        first = frames(url, 3)
        gevent.sleep(0.3)
        again = frames(url, 4, last=first[-1][0])
        numbers = [int(name.rpartition("-")[2]) for name, _ in (*first, *again)]
        assert numbers == list(range(numbers[0], numbers[0] + 7))
        for stranger in ("x", "-1", f"{'0' * 8}-{'9' * 400}", "é"):
            assert frames(url, 1, last=stranger.encode("latin-1").decode("latin-1"))[0][0].endswith("-1"), stranger


def test_viewers_share_one_look_and_none_is_made_without_them() -> None:
    looks = []
    watch = Watch(lambda: looks.append(1) or {}, interval=0.05, linger=0.1)  # type: ignore[func-returns-value]
    streams = [watch.frames() for _ in range(20)]
    for each in streams:
        for _ in range(3):
            next(each)
    assert watch.viewers == 20 and len(looks) <= 5
    for each in streams:
        each.close()  # type: ignore[attr-defined]
    gevent.sleep(0.3)
    seen = len(looks)
    gevent.sleep(0.3)
    assert watch.viewers == 0 and len(looks) == seen


def test_a_broker_that_is_away_is_told_and_looked_for_again() -> None:
    answers = [RuntimeError("the secret is 4711"), ConfigurationError("nsqd is\nnot there"), None]

    def stats() -> dict[str, object]:
        error = answers.pop(0)
        if error is not None:
            raise error
        return {}

    watch = Watch(stats, interval=0.01)  # type: ignore[arg-type]
    stream = watch.frames()
    told = [next(stream) for _ in range(4)][1:]
    assert "the bus cannot be looked at: RuntimeError" in told[0] and "4711" not in told[0]
    assert "nsqd is" in told[1] and '"topics":[]' in told[2]
    watch.close()


# -- who may ------------------------------------------------------------------------------------------------------------


def test_every_answer_is_shut_against_other_sites(bus: Bus) -> None:
    with served(bus) as url:
        for path in ("/", "/static/page.js", "/answers/health", "/nowhere", "/answers/nothing", "/journey"):
            answer = ask(url, path)
            assert "default-src 'self'" in answer.headers["content-security-policy"], path
            assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["x-frame-options"] == "DENY"
            assert "access-control-allow-origin" not in answer.headers and "set-cookie" not in answer.headers
        page = ask(url, "/").body
        assert not re.search(r"<script(?![^>]*\bsrc=)", page) and not re.search(r"\bon\w+=|style=|https?://", page)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8900", "127.0.0.1.evil.example"])
def test_a_name_that_is_not_its_own_is_refused(bus: Bus, host: str) -> None:
    with served(bus) as url:
        assert ask(url, "/", Host=host).status == 421
        assert ask(url, "/flow", Host=host).status == 421
    with served(bus, names=("evil.example",)) as url:
        assert ask(url, "/", Host="evil.example").status == 200


def test_other_addresses_and_changes_need_a_token(bus: Bus) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(ConfigurationError, match="--token"):
            PageServer(Sources(bus), host=host)
    PageServer(Sources(bus), host="localhost"), PageServer(Sources(bus), host="::1")
    PageServer(Sources(bus), access=Access(TOKEN), host="0.0.0.0")
    with pytest.raises(ConfigurationError, match="needs a token"):
        Access(allow=frozenset({"replay"}))
    with pytest.raises(ConfigurationError, match="cannot allow fly"):
        Access(TOKEN, frozenset({"fly"}))
    with pytest.raises(ConfigurationError, match="shorter than 16"):
        Access("short")


def test_nothing_is_seen_without_the_token(bus: Bus) -> None:
    with served(bus, Access(TOKEN)) as url:
        assert ask(url, "/").headers["location"] == "/enter"
        for path in ("/flow", "/answers/dead", "/journey?key=abcd", "/find?key="):
            assert ask(url, path).status == 401, path
        origin = url.rstrip("/")
        form = {"token": TOKEN}
        assert ask(url, "/enter", method="POST", form={"token": "wrong"}, Origin=origin).status == 403
        assert ask(url, "/enter", method="POST", form={"token": "ü"}, Origin=origin).status == 403
        assert ask(url, "/enter", method="POST", form=form).status == 403, "no Origin"
        assert ask(url, "/enter", method="POST", form=form, Origin="http://evil.example").status == 403
        entered = ask(url, "/enter", method="POST", form=form, Origin=origin)
        cookie = entered.headers["set-cookie"]
        assert entered.status == 302 and "HttpOnly" in cookie and "SameSite=Strict" in cookie and TOKEN not in cookie
        mine = cookie.partition(";")[0]
        assert ask(url, "/", Cookie=mine).status == 200 and ask(url, "/answers/dead", Cookie=mine).status == 200
        assert ask(url, "/answers/dead", Cookie=mine[:-2] + "AA").status == 401, "a forged one"


def test_odd_questions_have_clear_answers(bus: Bus) -> None:
    with served(bus) as url:
        assert "give key" in ask(url, "/journey").tree["problem"] and ask(url, "/journey").status == 400
        assert ask(url, "/journey?key=" + "x" * 201).status == 400
        assert "nothing was told" in ask(url, "/journey?key=%00%ff%3Cscript%3E").tree["problem"]
        assert ask(url, "/answers/nothing").status == 404 and ask(url, "/", method="DELETE").status == 405
        assert "no contracts" in str(ask(url, "/answers/health").tree) or ask(url, "/answers/health").tree["findings"]
        assert "problem" in ask(url, "/answers/contracts").tree, "there is no such folder"


def test_what_was_before_the_page_comes_from_the_bus_that_keeps_it(tmp_path: Path) -> None:
    with Bus(f"sqlite:///{tmp_path}/bus.db", source="till") as bus:
        id = bus.publish(Paid(amount=1), subject="bill-78")
        reading = open_reading(f"sqlite:///{tmp_path}/bus.db")
        page = PageServer(Sources(bus, journal=reading))
        page.start()
        assert ask(page.url, "/find?key=bill-78").tree["found"][0]["last"] == "in the journal"
        found = ask(page.url, f"/journey?key={id}").tree
        assert found["sentence"] == "It was published; no service told what became of it."
        assert (found["events"][0]["type"], found["lanes"][0]["place"]) == ("Paid", "paid")
        assert "neither the journal" in ask(page.url, "/journey?key=nothing-of-it").tree["problem"]
        page.stop_intake()
        page.stop(1.0)
        reading.close()


def test_versions_in_use_are_told_beside_the_contracts(bus: Bus, tmp_path: Path) -> None:
    publish([(Paid, "till")], tmp_path)
    with served(bus, contracts=str(tmp_path)) as url:
        assert ask(url, "/answers/contracts").tree["contracts"][0]["share"] is None
    with served(bus, contracts=str(tmp_path)) as url:
        eventually(lambda: bus.middleware[0].is_on, "somebody tells")  # type: ignore[attr-defined]
        bus.publish(Paid(amount=1))
        eventually(lambda: ask(url, "/find?key=Paid").tree["found"], "the outcome is told")
        found = ask(url, "/answers/contracts").tree
        assert (found["contracts"][0]["share"], found["strange"]) == (1.0, [])


def test_what_changes_anything_must_come_from_the_page(bus: Bus) -> None:
    with served(bus, Access(TOKEN, frozenset({"pause"}))) as url:
        origin = url.rstrip("/")
        entered = ask(url, "/enter", method="POST", form={"token": TOKEN}, Origin=origin)
        cookie = entered.headers["set-cookie"].partition(";")[0]
        page = ask(url, "/", Cookie=cookie)
        cookie = page.headers.get("set-cookie", cookie).partition(";")[0]
        found = re.search(r'data-word="([\w-]+)"', page.body)
        assert found is not None
        word = found[1]
        given = {"topic": "paid", "channel": "ledger", "key": "pause"}

        def act(path: str = "/pause", tree: object = given, **headers: str) -> int:
            return ask(url, path, method="POST", tree=tree, **headers).status

        assert act(Origin=origin, X_Word=word) == 401, "no cookie"
        assert act(Cookie=cookie, X_Word=word) == 403, "no origin"
        assert act(Cookie=cookie, Origin="http://evil.example", X_Word=word) == 403
        assert act(Cookie=cookie, Origin=origin) == 403 and act(Cookie=cookie, Origin=origin, X_Word="x") == 403
        assert act("/replay", Cookie=cookie, Origin=origin, X_Word=word) == 403, "it is not allowed"
        assert not bus.engine.stats()["paid"].channels["ledger"].is_paused
        assert act(Cookie=cookie, Origin=origin, X_Word=word) == 200
        assert bus.engine.stats()["paid"].channels["ledger"].is_paused
        assert act(tree={**given, "key": "resume"}, Cookie=cookie, Origin=origin, X_Word=word) == 200
        assert not bus.engine.stats()["paid"].channels["ledger"].is_paused
        for odd in ([], {}, {"topic": 1}, {**given, "key": "x" * 999}, {**given, "channel": None}):
            assert act(tree=odd, Cookie=cookie, Origin=origin, X_Word=word) == 400, odd
        assert act(tree={**given, "channel": "nobody"}, Cookie=cookie, Origin=origin, X_Word=word) == 409
