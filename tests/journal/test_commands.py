"""`eventbus journal find|show|export|replay`, as commands."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from eventbus import Bus, Personal, Service
from eventbus.cli.amounts import read_size, read_span
from eventbus.errors import ConfigurationError
from eventbus.event import Event
from eventbus.journal.entries import entry_of
from eventbus.wire.codec import decode
from eventbus.wire.envelope import Envelope
from tests.cli.kit import Shop
from tests.journal.events import ORDERS, Placed
from tests.journal.kept import AT, ENCODE, Journal, envelope, kept
from tests.nsqd import Nsqd
from tests.outcomes.records import record
from tests.waiting import eventually, stays

EVIL = "\x1b]0;evil\x07"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path)
    yield made
    made.close()


def test_events_are_found_and_listed(journal: Journal) -> None:
    journal.holds(kept(envelope("0193-a", subject="5f512e18")), kept(envelope("0200-b"), "other", with_body=False))
    done = journal.run("find", "5f51")
    assert done.code == 0
    assert "OrderPlaced v1" in done.out and "0193-a" in done.out and "5f512e18" in done.out and "0200-b" not in done.out
    lines = [json.loads(line) for line in journal.run("find", "--json", "--since", "2020-01-01T00:00:00Z").out.splitlines()]
    assert [(each["id"], each["topic"]) for each in lines] == [("0200-b", "other"), ("0193-a", ORDERS)]
    nothing = journal.run("find", "nothing")
    assert nothing.code == 1 and "no such event" in nothing.err


def test_chain_is_shown_as_a_tree_with_its_deliveries(journal: Journal) -> None:
    first, second, third = (
        envelope("0193-first", {"order": 1}),
        envelope("0193-second", causation_id="0193-first", correlation_id="0193-first"),
        envelope("0193-third", causation_id="0193-second", correlation_id="0193-first"),
    )
    told = record(id="0193-second", correlation="0193-first", published=1_800_000_000.0)
    lost = record(id="0193-lost", correlation="0193-first", outcome="handled", error=None, place=None, again=None)
    journal.holds(*map(kept, (first, second, third)), told=(told, lost))
    done = journal.run("show", "0193-first")
    lines = done.out.splitlines()
    assert [line.index("OrderPlaced") - line.index("2027") for line in lines if "OrderPlaced" in line] == [25, 25, 25]
    assert [line.split("2027")[0] for line in lines if "OrderPlaced" in line] == ["", "  └ ", "    └ "]
    assert '"order": 1' in lines[1]
    assert (
        "default: retried by host/1, attempt 3, ran 500 ms; SMTPServerBusy at mailer.py:88 in send; comes again" in done.out
    )
    assert "event 0193-lost, which is not in the journal" in done.out
    assert '"order"' not in journal.run("show", "0193-first", "--no-data").out
    tree = json.loads(journal.run("show", "0193-th", "--json").out)
    assert [each["id"] for each in tree["events"]] == ["0193-first", "0193-second", "0193-third"]
    assert tree["records"][0]["outcome"] in ("retried", "handled") and len(tree["records"]) == 2
    assert journal.run("show", "0000").code == 1


def test_events_that_cause_one_another_are_shown_once(journal: Journal) -> None:
    chain = [("a", "c"), ("b", "a"), ("c", "b"), ("d", "d")]
    journal.holds(*(kept(envelope(f"id-{n}", causation_id=f"id-{cause}", correlation_id="x")) for n, cause in chain))
    shown = journal.run("show", "x").out
    assert [shown.count(f"id-{n}") for n, _ in chain] == [1, 1, 1, 1]


def test_long_chain_is_shown_to_its_end(journal: Journal) -> None:
    journal.holds(*(kept(envelope(f"id-{n:04}", causation_id=f"id-{n - 1:04}", correlation_id="x")) for n in range(1500)))
    assert journal.run("show", "x").out.count("OrderPlaced") == 1500


def test_hostile_texts_steer_no_terminal(journal: Journal) -> None:
    evil = "\u202eevil\u2066" + "x" * 200
    journal.holds(kept(envelope(evil, {"text": EVIL}, subject=evil)))
    for words in (["find"], ["show", evil], ["show", evil, "--json"], ["export"], ["find", "--json"]):
        done = journal.run(*words)
        assert done.code == 0
        assert not {"\x1b", "\x07", "\u202e", "\u2066"} & set(done.out)


def test_export_is_read_as_the_events_that_were_published(journal: Journal) -> None:
    events = [envelope("a", {"text": "ü", "n": [1, None, True]}, subject="s"), envelope("b", causation_id="a")]
    journal.holds(*map(kept, events), kept(envelope("c"), with_body=False))
    lines = journal.run("export").out.splitlines()
    read = [decode(line.encode()) for line in lines]
    assert [each.id for each in read] == ["a", "b", "c"]
    assert [each.data for each in read] == [{"text": "ü", "n": [1, None, True]}, None, None]
    assert [(each.extensions or {})["topic"] for each in read] == [ORDERS] * 3
    assert read[1].causation_id == "a" and read[0].subject == "s" and read[0].time == "2027-01-15T08:00:00Z"
    assert "data" not in json.loads(lines[2])
    assert all("data" not in json.loads(line) for line in journal.run("export", "--no-data").out.splitlines())
    assert len(journal.run("export", "--subject", "s").out.splitlines()) == 1
    assert journal.run("export", "--until", "2027-01-15T07:59:59Z").out == ""
    assert journal.run("export", "--topic", "other").out == ""


class Signed(Event, topic="journal_signups", version=1):
    email: Personal[str]


def test_personal_data_are_shown_only_if_asked_for(journal: Journal) -> None:
    with Bus("memory://", source="test") as bus:
        got: list[bytes] = []
        bus.engine.declare("journal_signups", ["c"])
        bus.engine.subscribe(
            "journal_signups",
            "c",
            lambda arrived: got.extend(each.body for each in arrived),
            max_in_flight=9,
            message_timeout=60.0,
        )
        bus.publish(Signed(email="somebody@example.org"))
        eventually(lambda: got)
    journal.holds(entry_of("journal_signups", got[0], AT, with_body=True))
    id = decode(got[0]).id
    for words in (["export"], ["show", id], ["show", id, "--json"]):
        assert "somebody" not in journal.run(*words).out
        assert "somebody" in journal.run(*words, "--personal").out


def test_events_are_replayed_to_one_channel_on_nsq(journal: Journal, nsqd: Nsqd, make_bus: Callable[..., Bus]) -> None:
    bus = make_bus(nsqd.url)
    handled: dict[str, list[str]] = {"audit": [], "other": []}
    for name in handled:
        service = Service(name)

        @service.on(Placed)
        def note(event: Placed, to: list[str] = handled[name]) -> None:
            to.append(event.order_id)

        bus.start(service)
    past = [Placed(order_id=f"A{n}") for n in range(5)]
    journal.holds(*(kept(Envelope(f"0193-{n}", "orders", "Placed", "2026-01-15T08:00:00Z", {"order_id": each.order_id}))
                    for n, each in enumerate(past)))  # fmt: skip
    url = {"EVENTBUS_URL": nsqd.url}
    assert journal.run("replay", ORDERS, "--to", "audit", "--dry-run", **url).out == f"5 events of {ORDERS} for audit\n"
    done = journal.run("replay", ORDERS, "--to", "audit", "--id", "0193-1", "--id", "0193-3", "--rate", "50", **url)
    assert done.code == 0 and "2 replayed" in done.out
    eventually(lambda: sorted(handled["audit"]) == ["A1", "A3"])
    stays(lambda: handled["other"] == [], 0.3)
    assert journal.run("replay", ORDERS, "--to", "nobody", **url).code == 2


def test_events_without_bodies_cannot_be_replayed(journal: Journal, nsqd: Nsqd, make_bus: Callable[..., Bus]) -> None:
    make_bus(nsqd.url).engine.declare(ORDERS, ["audit"])
    journal.holds(kept(envelope("a"), with_body=False))
    done = journal.run("replay", ORDERS, "--to", "audit", EVENTBUS_URL=nsqd.url)
    assert done.code == 2 and "--bodies" in done.err


def test_wrong_use_is_said(journal: Journal, tmp_path: Path) -> None:
    for words, said in (
        (["find", "--since", "yesterday"], "--since yesterday"),
        (["export", "--topic", "a b"], "topic name"),
        (["--keep", "never"], "--keep never"),
        (["--max-bytes", "1.5Q"], "--max-bytes 1.5Q"),
        (["a topic"], "topic name"),
    ):
        done = journal.run(*words, EVENTBUS_URL="nsq://127.0.0.1:1")
        assert done.code == 2 and said in done.err, words
    done = journal.shop.run("journal", "find", EVENTBUS_URL="nsq://127.0.0.1:1")
    assert done.code == 2 and "give --database" in done.err
    done = journal.shop.run("journal", "find", "--database", f"sqlite:///{tmp_path}/none.db")
    assert done.code == 2 and "there is no file" in done.err
    assert not (tmp_path / "none.db").exists()


def test_database_that_cannot_hold_a_journal_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE eventbus_journal_events (mine TEXT)")
    (tmp_path / "text.db").write_text("no database at all, but some text of many words" * 100)
    bus = f"sqlite:///{tmp_path}/bus.db"
    for name, code, said in (
        ("other.db", 2, "refuses what a journal writes (no such column"),
        ("text.db", 3, "does not answer: file is not a database"),
        ("no/folder.db", 3, "does not answer: unable to open database file"),
    ):
        done = Shop(tmp_path).run("journal", "--bus", bus, "--database", f"sqlite:///{tmp_path}/{name}")
        assert (done.code, said in done.err) == (code, True), done.err


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90.0), ("7d", 604800.0), ("1.5h", 5400.0)])
def test_span_is_read(text: str, seconds: float) -> None:
    assert read_span(text, "--keep") == seconds


@pytest.mark.parametrize(("text", "size"), [("1", 1), ("512M", 512 * 1024**2), ("20GiB", 20 * 1024**3), ("3kb", 3072)])
def test_size_is_read(text: str, size: int) -> None:
    assert read_size(text, "--max-bytes") == size


@pytest.mark.parametrize("text", ["", "0", "0s", "-1d", "7", "nan", "٣d", "1e9s", "9" * 30 + "d"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--keep"):
        read_span(text, "--keep")
    if text != "7":
        with pytest.raises(ConfigurationError, match="--keep"):
            read_size(text, "--keep")


def test_event_without_a_time_has_that_of_its_message() -> None:
    odd = Envelope("a", "orders", "OrderPlaced", "no time", None)
    assert entry_of("t", ENCODE(odd), 1234.5).time == 1234.5
    assert entry_of("t", ENCODE(envelope("b")), time.time()).time == AT
