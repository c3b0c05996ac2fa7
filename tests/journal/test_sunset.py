"""Whether a version may go: each of what stands in its way alone, on a real nsqd."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventbus import Bus, Event, Reject, Service
from eventbus.journal.entries import entry_of
from eventbus.sql import Database, Outbox, metadata
from eventbus.wire.envelope import Envelope
from tests.cli.kit import Done
from tests.journal.events import ORDERS
from tests.journal.kept import ENCODE, Journal
from tests.nsqd import Nsqd
from tests.outcomes.records import record
from tests.waiting import eventually

DAY = 86400.0


class OrderPlaced(Event, topic=ORDERS, version=1):
    order_id: str


@pytest.fixture
def bus(nsqd: Nsqd, make_bus: Callable[..., Bus]) -> Bus:
    made = make_bus(nsqd.url)
    made.engine.declare(ORDERS, ["audit"])
    return made


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """One that began 30 days ago."""
    made = Journal(tmp_path)
    made.holds(entry_of("other", message(30.0, 9), 0.0), now=time.time() - 30 * DAY)
    yield made
    made.close()


def message(days_ago: float, version: int = 1) -> bytes:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days_ago * DAY))
    return ENCODE(Envelope(f"id-{days_ago}-{version}", "orders", "OrderPlaced", at, {"order_id": "A"}, version=version))


def sunset(journal: Journal, nsqd: Nsqd, *words: str) -> Done:
    arguments = ("contracts", "sunset", ORDERS, "OrderPlaced", "1", *words)
    return journal.shop.run(*arguments, EVENTBUS_URL=nsqd.url, EVENTBUS_JOURNAL_URL=journal.url)


def test_version_that_nobody_sends_and_that_lies_nowhere_may_go(journal: Journal, nsqd: Nsqd, bus: Bus) -> None:
    told = record(
        topic=ORDERS, channel="audit", outcome="handled", type="OrderPlaced", version=1, end=time.time() - 20 * DAY
    )
    journal.holds(entry_of(ORDERS, message(20.0), 0.0), entry_of(ORDERS, message(0.0, 2), 0.0), told=(told,))
    done = sunset(journal, nsqd)
    assert done.code == 0, done.out
    assert "sent by orders: 1, last " in done.out and "had by channel audit: 1" in done.out
    assert "OrderPlaced v1 may go" in done.out and "no outbox was looked at" in done.out
    tree = json.loads(sunset(journal, nsqd, "--json").out)
    assert tree["may"] is True and tree["senders"][0]["count"] == 1


def test_version_that_was_sent_lately_may_not(journal: Journal, nsqd: Nsqd, bus: Bus) -> None:
    journal.holds(entry_of(ORDERS, message(3.0), 0.0))
    done = sunset(journal, nsqd)
    assert done.code == 4 and "not yet: orders sent it 3 days ago" in done.out
    assert sunset(journal, nsqd, "--quiet", "2d").code == 0


def test_journal_that_is_too_young_says_nothing(journal: Journal, nsqd: Nsqd, bus: Bus) -> None:
    done = sunset(journal, nsqd, "--quiet", "31d")
    assert done.code == 4 and "the journal goes back 30 days, and nobody may have sent it for 31 days" in done.out


def test_queue_that_may_hold_one_stands_in_the_way_until_it_has_passed(journal: Journal, nsqd: Nsqd, bus: Bus) -> None:
    journal.holds(entry_of(ORDERS, message(20.0), 0.0))
    bus.engine.publish(ORDERS, message(0.0, 2), delay=0.0, timeout=60.0)
    done = sunset(journal, nsqd)
    assert done.code == 4 and "1 messages wait on channel audit, and any of them may be one" in done.out
    passed = record(topic=ORDERS, channel="audit", outcome="handled", published=time.time() - 19 * DAY)
    older = record(topic=ORDERS, channel="audit", outcome="handled", published=time.time() - 21 * DAY)
    again = record(topic=ORDERS, channel="audit", outcome="retried", published=time.time())
    journal.holds(told=(older, again))
    assert sunset(journal, nsqd).code == 4
    journal.holds(told=(passed,))
    assert sunset(journal, nsqd).code == 0


def test_dead_letter_stands_in_the_way(journal: Journal, nsqd: Nsqd, bus: Bus) -> None:
    service = Service("audit")

    @service.on(OrderPlaced)
    def refuse(event: OrderPlaced) -> None:
        raise Reject("no")

    bus.start(service)
    bus.engine.publish(ORDERS, message(20.0), delay=0.0, timeout=60.0)
    eventually(lambda: bus.dead_letters(ORDERS, "audit").count() == 1)
    eventually(lambda: bus.engine.stats()[ORDERS].channels["audit"].in_flight == 0)
    done = sunset(journal, nsqd)
    assert done.code == 4 and "1 dead letters of channel audit, the last parked " in done.out
    bus.dead_letters(ORDERS, "audit").discard()
    assert sunset(journal, nsqd).code == 0


def test_outbox_that_holds_one_stands_in_the_way(journal: Journal, nsqd: Nsqd, bus: Bus, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/orders.db"
    with Database(url) as database:
        database.create_tables(metadata)
        outbox = Outbox(source="orders")
        database.transact(lambda connection: outbox.add(connection, OrderPlaced(order_id="A1")))
    done = sunset(journal, nsqd, "--outbox", url)
    assert done.code == 4 and "not yet: 1 in the outbox of" in done.out and "note" not in done.out


def test_wrong_use_is_said(journal: Journal, nsqd: Nsqd, bus: Bus, tmp_path: Path) -> None:
    wrong: list[tuple[Any, str]] = [
        (["--quiet", "soon"], "--quiet soon"),
        (["--outbox", "no url"], "database URL is not readable"),
        (["--outbox", f"sqlite:///{tmp_path}/empty.db"], "has no table eventbus_outbox"),
    ]
    for words, said in wrong:
        done = sunset(journal, nsqd, *words)
        assert done.code == 2 and said in done.err, done.err
