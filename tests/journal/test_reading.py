"""What a journal answers: by ids, subjects and types, whatever their texts are, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from eventbus.errors import ConfigurationError, TablesNotReadyError
from eventbus.journal import Reading, finding, open_reading
from eventbus.journal.finding import MOST_EVENTS, behind
from eventbus.journal.tables import events, metadata, records
from eventbus.outcomes import Record
from eventbus.sql import Database
from tests.outcomes.records import WHOLE, record

EVENT: dict[str, Any] = {
    "source": "orders",
    "type": "OrderPlaced",
    "version": 1,
    "topic": "orders_placed",
    "cause": None,
    "subject": None,
    "size": 3,
    "place": None,
    "body": b"abc",
}

HOSTILE = ["%", "_%__", "a'; DROP TABLE x; --", "\U0010ffff" * 5, "ЖЖЖЖ", "😀😀😀😀", "\\\\\\\\", "x" * 255]


def event(n: int, id: str, **changes: Any) -> dict[str, Any]:
    return {**EVENT, "n": n, "id": id, "correlation": id, "time": 1000.0 + n, **changes}


class Journal:
    """A database with a journal in it, and what it answers."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.reading: Reading = open_reading(database.engine.url.render_as_string(hide_password=False))

    def holds(self, *rows: dict[str, Any]) -> None:
        self.database.transact(lambda connection: connection.execute(sa.insert(events), rows))

    def tells(self, *told: Record) -> None:
        rows = [{"n": n, **{name: getattr(each, name) for name in WHOLE}} for n, each in enumerate(told)]
        self.database.transact(lambda connection: connection.execute(sa.insert(records), rows))

    def ids(self, *arguments: Any, **options: Any) -> list[str]:
        return [each.id for each in self.reading.find(*arguments, **options)]


@pytest.fixture
def journal(new_database: Callable[..., Database]) -> Any:
    found = Journal(new_database(metadata))
    yield found
    found.reading.close()


def test_all_are_found_newest_first_and_no_more_than_asked_for(journal: Journal) -> None:
    journal.holds(*(event(n, f"id-{n}") for n in range(30)))
    assert journal.ids(limit=3) == ["id-29", "id-28", "id-27"]
    assert len(journal.ids(limit=10**9)) == 30
    assert journal.ids(limit=-1) == []


def test_text_is_an_id_or_its_beginning_a_correlation_a_subject_or_its_beginning_or_a_type(journal: Journal) -> None:
    journal.holds(
        event(1, "0193aa-1", subject="5f512e18"),
        event(2, "0193bb-2", correlation="0193aa-1", type="OrderShipped"),
        event(3, "0200cc-3", subject="5f51"),
    )
    assert journal.ids("0193aa-1") == ["0193bb-2", "0193aa-1"]
    assert journal.ids("0193") == ["0193bb-2", "0193aa-1"]
    assert journal.ids("019") == []  # too short for a beginning
    assert journal.ids("5f51") == ["0200cc-3", "0193aa-1"]
    assert journal.ids("5f51", subject="5f51") == ["0200cc-3"]
    assert journal.ids("OrderShipped") == ["0193bb-2"]
    assert journal.ids(type="OrderPlaced", since=1002.0) == ["0200cc-3"]
    assert journal.ids("orders") == []  # neither source nor topic are searched


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_finds_itself_alone(journal: Journal, text: str) -> None:
    journal.holds(event(1, "plain", subject="abc"), event(2, "two", subject=text), event(3, text))
    assert journal.ids(text) == [text, "two"]
    assert journal.ids(subject=text) == ["two"]
    chain = journal.reading.chain(text)
    assert chain is not None and chain.correlation == text


@pytest.mark.parametrize("text", ["\0", "a\ud800b", "line\nbreak", "x" * 5000])
def test_text_that_no_event_can_have_finds_nothing(journal: Journal, text: str) -> None:
    journal.holds(event(1, "plain"))
    assert journal.ids(text) == [] and journal.ids(subject=text) == [] and journal.ids(type=text) == []
    assert journal.reading.chain(text) is None


def test_what_begins_so_hides_nothing_that_is_called_so(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "_CANDIDATES", 10)
    journal.holds(event(0, "0000", subject="5f51"), *(event(n, f"0000-{n}", subject=f"5f51-{n}") for n in range(1, 50)))
    assert "0000" in journal.ids("0000") and "0000" in journal.ids("5f51")
    assert len(journal.ids("0000")) == 11


def test_chain_is_found_by_each_of_its_names(journal: Journal) -> None:
    journal.holds(
        event(1, "aaaa-1", subject="5f51"),
        event(2, "bbbb-2", correlation="aaaa-1", cause="aaaa-1"),
        event(3, "cccc-3"),
        event(4, "bbbx-4"),
    )
    journal.tells(record(correlation="aaaa-1", id="bbbb-2", end=5.0), record(correlation="aaaa-1", end=4.0), record())
    for key in ("aaaa-1", "bbbb-2", "5f51", "bbbb", "aaaa"):
        chain = journal.reading.chain(key)
        assert chain is not None, key
        assert chain.correlation == "aaaa-1"
        assert [each.id for each in chain.events] == ["aaaa-1", "bbbb-2"]
        assert [each.end for each in chain.records] == [4.0, 5.0]
        assert chain.events[1].cause == "aaaa-1" and chain.events[1].body == b"abc"
        assert not chain.is_cut
    for key in ("", "bbb", "zzzz"):
        assert journal.reading.chain(key) is None
    assert journal.reading.chain(WHOLE["correlation"]) is not None  # told of, and its events not logged


def test_beginning_that_several_chains_share_names_none(journal: Journal) -> None:
    journal.holds(event(1, "aaaa-1"), event(2, "aaaa-2"))
    assert journal.reading.chain("aaaa") is None


def test_subject_of_several_chains_names_the_newest(journal: Journal) -> None:
    journal.holds(event(1, "one", subject="5f51"), event(2, "two", subject="5f51"))
    chain = journal.reading.chain("5f51")
    assert chain is not None and chain.correlation == "two"


def test_answer_has_a_bound(journal: Journal) -> None:
    journal.holds(*(event(n, f"id-{n}", correlation="c") for n in range(MOST_EVENTS + 5)))
    chain = journal.reading.chain("c")
    assert chain is not None and chain.is_cut and len(chain.events) == MOST_EVENTS and chain.events[0].id == "id-0"


def test_bodies_have_a_bound(journal: Journal) -> None:
    size = 6 * 1024 * 1024
    journal.holds(*(event(n, f"id-{n}", size=size, body=bytes(size)) for n in range(4)))
    assert [each.body is not None for each in journal.reading.find()] == [True, True, False, False]
    assert [each.size for each in journal.reading.find()] == [size] * 4


def test_past_is_whole_in_order_and_ends_where_it_ended_when_it_began(journal: Journal) -> None:
    journal.holds(*(event(n, f"id-{n}", topic=f"t{n % 2}") for n in range(1200)))
    past = journal.reading.past(topic="t1", since=1100.0, until=2000.0)
    assert next(past).id == "id-101"
    journal.holds(event(5000, "later", topic="t1", time=1500.0))
    assert [each.id for each in past] == [f"id-{n}" for n in range(103, 1000, 2)]
    assert list(journal.reading.past(subject="\0")) == []


def test_past_has_bodies_of_any_size(journal: Journal) -> None:
    size = 9 * 1024 * 1024
    journal.holds(*(event(n, f"id-{n}", size=size, body=bytes(size)) for n in range(3)))
    assert [each.body is not None for each in journal.reading.past()] == [True] * 3


def test_what_holds_no_journal_is_refused(new_url: Callable[[], str]) -> None:
    url = new_url()
    if url.startswith("sqlite"):
        with pytest.raises(ConfigurationError, match="there is no file"):
            open_reading(url)
    with Database(url) as database:
        database.ping()
    with pytest.raises(TablesNotReadyError, match="eventbus journal"):
        open_reading(url)


@pytest.mark.parametrize("url", ["nsq://127.0.0.1:4161", "sqlite://", "no url", "memory://", "sqlite:///:memory:"])
def test_address_without_a_journal_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="write sqlite:///journal.db"):
        open_reading(url)


def test_options_of_a_bus_are_passed_over(journal: Journal) -> None:
    url = journal.database.engine.url.render_as_string(hide_password=False)
    journal.holds(event(1, "plain"))
    reading = open_reading(f"{url}{'&' if '?' in url else '?'}retain=7d&poll=1")
    assert [each.id for each in reading.find()] == ["plain"]
    reading.close()


@pytest.mark.parametrize(
    ("text", "least"),
    [("a", "b"), ("ab", "ac"), ("\ud7ff", "\ue000"), ("a\U0010ffff", "b"), ("\U0010ffff", None)],
)
def test_what_is_behind_a_beginning(text: str, least: str | None) -> None:
    assert behind(text) == least
