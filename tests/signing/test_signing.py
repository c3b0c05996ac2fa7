"""Signed events: what is genuine is handled, what is not is parked unread and counted, and no good event suffers."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus import Bus, Event, Retry, Service
from eventbus.engines.memory import MemoryEngine
from eventbus.errors import DecodeError, ReplayError
from eventbus.middleware import Outcome
from eventbus.signing import Signer, read_keys
from eventbus.wire.codec import decode, rewrite
from eventbus.wire.envelope import Envelope
from eventbus.wire.sealed import Seal, Steer, read_seal, write_seal
from tests.signing.keys import DEPOT, EVE, SHOP, settings, write_keys
from tests.waiting import eventually

TOPIC = "placed"


class Placed(Event, topic=TOPIC):
    number: int


def signer(engine: MemoryEngine, keys: Path) -> Signer:
    return Signer(read_keys(keys), "require", time=engine.clock.time, monotonic=engine.clock.monotonic)


class World:
    """A shop and a depot over one engine, each with its own keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = MemoryEngine()
        self.handled: list[int] = []
        self.failing: set[int] = set()
        self.depot = Service("depot")
        self.depot.on(Placed, retry=Retry(attempts=3, first=0.001, ceiling=0.01))(self._handle)
        self.shop_bus = self.bus("shop-1", "shop")
        self.depot_bus = self.bus("depot-1", "depot")
        self.eve = Signer(
            read_keys(write_keys(folder, "eve", EVE)),
            "require",
            time=self.engine.clock.time,
            monotonic=self.engine.clock.monotonic,
        )

    def bus(self, signs_with: str | None, source: str, sign: str = "require") -> Bus:
        return Bus(engine=self.engine, source=source, settings=settings(self.folder, signs_with, sign=sign))

    def _handle(self, event: Placed) -> None:
        if event.number in self.failing:
            raise ValueError(event.number)
        self.handled.append(event.number)

    def genuine(self, number: int) -> bytes:
        """Return a signed message as the shop publishes it."""
        _, _, body = self.shop_bus.publisher.envelopes.write(Placed(number=number))
        assert isinstance(body, bytes)
        return self.shop_bus.engine.signer.seal(TOPIC, body)  # type: ignore[attr-defined]

    def inject(self, body: bytes, topic: str = TOPIC) -> None:
        self.engine.publish(topic, body, delay=0.0, timeout=5.0)

    def reasons(self) -> list[str]:
        return sorted(each.reason.split(":")[0] for each in self.depot_bus.dead_letters(TOPIC, "depot").list())

    def parked(self) -> int:
        return self.depot_bus.dispatchers[0].counts[Outcome.PARKED]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.depot_bus.start(made.depot)
    yield made
    made.depot_bus.stop()
    made.shop_bus.stop()


def test_what_is_genuine_is_handled(world: World) -> None:
    world.shop_bus.publish(Placed(number=1))
    world.shop_bus.publish_all([Placed(number=2), Placed(number=3)])
    world.shop_bus.publish(Placed(number=4), subject="x", delay=0.01)
    eventually(lambda: sorted(world.handled) == [1, 2, 3, 4])
    assert world.parked() == 0


def forged(world: World) -> dict[str, tuple[bytes, str]]:
    """Each forgery with the reason for which it is parked."""
    genuine = world.genuine(100)
    seal = read_seal(genuine)
    other = world.shop_bus.engine.signer.seal("refunds", seal.body)  # type: ignore[attr-defined]
    stolen = rewrite(steered(genuine, "depot"), genuine)
    by_eve = world.eve.seal(TOPIC, seal.body)
    return {
        "plain": (seal.body, "not signed"),
        "json": (b'{"specversion":"1.0","id":"x","source":"shop","type":"Placed","data":{"number":1}}', "not signed"),
        "another body": (write_seal(Seal(seal.key, seal.signature, None, seal.body.replace(b"shop", b"SHOP"))), "wrong key"),
        "key unknown": (by_eve, "wrong key"),
        "key of another": (write_seal(Seal("depot-1", seal.signature, None, seal.body)), "wrong key"),
        "of another topic": (other, "wrong key"),
        "another source": (depot_says(world, seal.body), "not allowed"),
        "steered by nobody": (stolen, "not signed"),
        "steered by a stranger": (world.eve.seal(TOPIC, stolen), "wrong key"),
        "no array": (b"\x95" + b"\xc0" * 3, "not decodable"),
        "nested": (write_seal(Seal(seal.key, seal.signature, None, seal.body))[:-1], "not decodable"),
    }


def steered(body: bytes, channel: str) -> Envelope:
    envelope = decode(body)
    envelope.replay_for = channel
    return envelope


def depot_says(world: World, body: bytes) -> bytes:
    sealed: bytes = world.depot_bus.engine.signer.seal(TOPIC, body)  # type: ignore[attr-defined]
    return sealed


def test_each_forgery_is_parked_counted_and_costs_no_good_event(world: World) -> None:
    cases = forged(world)
    for number, (body, _) in enumerate(cases.values()):
        world.inject(body)
        world.shop_bus.publish(Placed(number=number))
    eventually(lambda: len(world.handled) == len(cases))
    eventually(lambda: world.parked() == len(cases))
    assert sorted(world.handled) == list(range(len(cases)))
    assert world.reasons() == sorted(reason for _, reason in cases.values())
    refused = world.depot_bus.engine.signer.refused  # type: ignore[attr-defined]
    assert sum(refused.values()) == sum(reason != "not decodable" for _, reason in cases.values())


def test_retries_replays_and_copies_keep_the_origins_proof(world: World) -> None:
    world.failing.add(7)
    world.shop_bus.publish(Placed(number=7))
    letters = world.depot_bus.dead_letters(TOPIC, "depot")
    eventually(lambda: letters.count() == 1)
    [letter] = letters.list()
    assert letter.proof == "signed by shop-1"
    world.failing.clear()
    with world.bus("ops-1", "operator") as operator:
        assert operator.dead_letters(TOPIC, "depot").replay() == 1
        eventually(lambda: world.handled == [7])
    assert letters.count() == 0


def test_a_copy_of_a_subscriber_is_signed_by_it(world: World) -> None:
    genuine = world.genuine(9)
    copy = rewrite(steered(genuine, "depot"), genuine)
    signed = depot_says(world, copy)
    seal = read_seal(signed)
    assert seal.steer is not None
    assert (seal.key, seal.steer.key, seal.body) == ("shop-1", "depot-1", read_seal(genuine).body)
    world.inject(signed)
    eventually(lambda: world.handled == [9])
    # the same word for another channel, or on another event, is none
    other = rewrite(steered(genuine, "mail"), genuine)
    world.inject(depot_says(world, other))
    world.inject(
        write_seal(Seal(seal.key, read_seal(world.genuine(10)).signature, seal.steer, read_seal(world.genuine(10)).body))
    )
    eventually(lambda: world.parked() == 2)
    assert world.handled == [9]


def test_what_was_planted_among_dead_letters_is_shown_and_not_replayed(world: World) -> None:
    plain = read_seal(world.genuine(1)).body
    world.inject(plain)
    letters = world.depot_bus.dead_letters(TOPIC, "depot")
    eventually(lambda: letters.count() == 1)
    [letter] = letters.list()
    assert letter.proof == "not signed"
    with world.bus("ops-1", "operator") as operator, pytest.raises(ReplayError, match="not signed"):
        operator.dead_letters(TOPIC, "depot").replay()
    assert letters.count() == 1
    assert world.handled == []


def test_it_comes_in_three_steps_without_a_stop(tmp_path: Path) -> None:
    engine = MemoryEngine()
    handled: list[int] = []
    given = {sign: None if sign == "off" else sign for sign in ("off", "write", "require")}

    def bus(name: str, key: str, sign: str | None) -> Bus:
        return Bus(engine=engine, source=name, settings=None if sign is None else settings(tmp_path, key, sign=sign))

    steps = "off off", "write off", "off write", "write write", "write require", "require require"
    for number, (theirs, mine) in enumerate(step.split() for step in steps):
        subscriber = bus("depot", "depot-1", given[mine])
        service = Service("depot")
        service.on(Placed)(lambda event: handled.append(event.number))
        subscriber.start(service)
        bus("shop", "shop-1", given[theirs]).publish(Placed(number=number))
        eventually(lambda number=number: number in handled, f"step {theirs} to {mine}")  # type: ignore[misc]
        assert subscriber.dispatchers[0].counts[Outcome.PARKED] == 0
        for dispatcher in subscriber.dispatchers:  # the engine lives on for the next step
            dispatcher.close()


def test_the_bytes_are_those_of_the_wire_format(tmp_path: Path) -> None:
    mac = hmac.new(bytes(32), b"eventbus-event-1\0placed\0\x81\xa1a\x01", hashlib.sha256).digest()
    expected = bytes.fromhex("9501a673686f702d31c420") + mac + bytes.fromhex("c0c40481a16101")
    shop = signer(MemoryEngine(), write_keys(tmp_path, "shop-1", SHOP))
    assert shop.seal("placed", b"\x81\xa1a\x01") == expected
    copy = write_seal(Seal("shop-1", mac, Steer("", b"", b"\x81\xa9replayfor\xa5depot"), b"\x81\xa1a\x01"))
    depot = signer(MemoryEngine(), write_keys(tmp_path, "depot-1", DEPOT))
    steer = b"eventbus-steer-1\0placed\0\x20" + mac + b"\x81\xa9replayfor\xa5depot"
    theirs = hashlib.blake2b(steer, key=b"\1" * 32, digest_size=32).digest()
    said = bytes.fromhex("93a76465706f742d31c420") + theirs + bytes.fromhex("c411") + b"\x81\xa9replayfor\xa5depot"
    whole = (
        bytes.fromhex("9501a673686f702d31c420") + mac + b"\xc4" + bytes([len(said)]) + said + bytes.fromhex("c40481a16101")
    )
    assert depot.seal("placed", copy) == whole


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return signer(MemoryEngine(), write_keys(tmp_path_factory.mktemp("keys"), "shop-1", SHOP))


@given(st.data())
def test_changed_bytes_are_never_believed_and_never_break_the_reader(shop: Signer, data: st.DataObject) -> None:
    plain = b"\x85\xabspecversion\xa31.0\xa2id\xa1x\xa6source\xa4shop\xa4type\xa6Placed\xa4data\x80"
    body = shop.seal(TOPIC, plain)
    place = data.draw(st.integers(0, len(body) - 1))
    changed = bytearray(body)
    changed[place] = data.draw(st.integers(0, 255).filter(lambda value: value != body[place]))
    try:
        envelope = decode(bytes(changed))
    except DecodeError:
        return
    assert shop.doubt(TOPIC, envelope) is not None


def test_steering_takes_no_other_attributes(world: World) -> None:
    seal = read_seal(world.genuine(1))
    for said in (
        b"\x81\xa6source\xa3eve",
        b"\x81\xa9replayfor\x01",
        b"\x90",
        b"\xc1",
        b"\x81\xadpriorattempts\xcf" + b"\xff" * 8,
    ):
        with pytest.raises(DecodeError):
            decode(write_seal(Seal(seal.key, seal.signature, Steer("", b"", said), seal.body)))


def test_nothing_is_wrapped_where_nothing_is_signed() -> None:
    with Bus("memory://") as bus:
        assert type(bus.engine) is MemoryEngine
