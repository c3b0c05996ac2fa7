"""A stranger who can write to every topic, against services that sign: nothing that he says has an effect."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventbus import Bus, Service
from eventbus.dead_letters.done import letters_done_on
from eventbus.event import event_info
from eventbus.middleware import Outcome
from eventbus.signing import SigningEngine
from eventbus.sql import Database, Inbox, Outbox, Receipts, SqlContext, metadata
from eventbus.wire.codec import JsonCodec, dump
from eventbus.wire.envelope import Envelope
from tests.nsqd import Nsqd
from tests.signing.keys import SHOP, settings
from tests.sql.events import Placed, effects_in, note, tables
from tests.waiting import eventually

DEPOT = """
[keys.depot-1]
secret = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
sources = ["depot"]
channels = ["depot"]
"""


class Target:
    """A shop with an outbox and a depot with an inbox, on a real nsqd."""

    def __init__(self, folder: Path, nsqd: Nsqd, new_database: Callable[..., Database]) -> None:
        self.shop_base, self.depot_base = (new_database(metadata, tables) for _ in range(2))
        self.shop_bus, self.depot_bus = (
            Bus(nsqd.url, source=name, settings=settings(folder, f"{name}-1", SHOP + _RECEIVES, DEPOT))
            for name in ("shop", "depot")
        )
        service = Service("depot")
        self.inbox = Inbox(self.depot_base)

        @service.on(Placed, inbox=self.inbox)
        def ship(event: Placed, context: SqlContext) -> None:
            note(context.connection, event.number)

        self.depot_bus.start(service)
        self.outbox = Outbox(self.shop_base, source="shop", receipts=Receipts())
        self.shop_bus.attach(self.outbox)

    def place(self, *numbers: int) -> None:
        self.shop_base.transact(lambda connection: [self.outbox.add(connection, Placed(number=each)) for each in numbers])

    def say(self, topic: str, kind: str, data: object, **more: object) -> None:
        """Publish what a stranger wrote, past all signing."""
        envelope = Envelope(
            f"forged-{time.monotonic_ns()}", str(more.pop("source", "shop")), kind, "2026-01-31T12:00:00Z", data
        )
        for name, value in more.items():
            setattr(envelope, name, value)
        assert isinstance(self.shop_bus.engine, SigningEngine)
        self.shop_bus.engine.inner.publish(topic, JsonCodec().encode(envelope), delay=0.0, timeout=30.0)

    def parked(self, topic: str) -> int:
        return sum(
            each.counts[Outcome.PARKED]
            for bus in (self.shop_bus, self.depot_bus)
            for each in bus.dispatchers
            if each.topic == topic
        )


_RECEIVES = """channels = ["shop"]
"""


@pytest.fixture
def target(tmp_path: Path, nsqd: Nsqd, new_database: Callable[..., Database]) -> Iterator[Target]:
    made = Target(tmp_path, nsqd, new_database)
    yield made
    made.depot_bus.stop()
    made.shop_bus.stop()


@pytest.mark.nsqd
def test_what_a_stranger_says_is_parked_and_changes_nothing(target: Target) -> None:
    target.place(1, 2, 3)
    eventually(lambda: effects_in(target.depot_base) == [1, 2, 3])
    eventually(lambda: target.outbox.backlog().unsettled == 0, "signed receipts to settle all")
    # an event in the shop's name, one for a channel alone, one for the year 9999
    target.say("placed", "Placed", {"number": 99})
    target.say("placed", "Placed", {"number": 98}, replay_for="depot", prior_attempts=3)
    target.say("placed", "Placed", {"number": 97}, deliver_at=time.time() + 3600)
    eventually(lambda: target.parked("placed") == 3)
    # receipts: that all is done, that a ghost listens, that the depot is bound from the future
    receipts = {"topic": "placed", "channel": "depot", "since": {"Placed": 0.0}, "ids": ["x"]}
    target.say("placed.receipts", "eventbus.Receipts", receipts, source="depot")
    target.say("placed.receipts", "eventbus.Receipts", {**receipts, "channel": "ghost"}, source="ghost")
    target.say(
        "placed.receipts", "eventbus.Receipts", {**receipts, "since": {"Placed": 9e9}, "is_all": True}, source="depot"
    )
    eventually(lambda: target.parked("placed.receipts") == 3)
    target.place(4, 5)
    eventually(lambda: effects_in(target.depot_base) == [1, 2, 3, 4, 5])
    eventually(lambda: target.outbox.backlog().unsettled == 0, "signed receipts to settle all")
    reasons = {each.reason for each in target.depot_bus.dead_letters("placed", "depot").list()}
    assert reasons == {"not signed"}


@pytest.mark.nsqd
def test_a_stranger_does_not_say_what_became_of_dead_letters(target: Target) -> None:
    target.say("placed", "Placed", {"number": "none"})
    done = letters_done_on("placed", "depot")
    target.say("placed.depot.done", event_info(done).name, dump(done(ids=("x",), is_replayed=False)), source="eventbus")
    target.place(1)
    eventually(lambda: effects_in(target.depot_base) == [1])
    eventually(lambda: target.parked("placed") == 1)
