"""Faults on real processes. Each test ends with a ledger of ids: published and confirmed, handled, missing."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from typing import Any

import gevent

from eventbus import Bus, EventBusError, Service
from eventbus.testing.conformance.kit import numbered, unique
from tests.nsqd import Nsqd, Nsqlookupd
from tests.peers import Proxy
from tests.waiting import PATIENCE, eventually

Ends = Callable[[Any], Any]
MakeBus = Callable[..., Bus]
QUICK = "reconnect_ceiling=0.5&heartbeat=1&lookup_interval=0.5"


class Ledger:
    """Publishes numbers under load and notes what was confirmed and what was handled."""

    def __init__(self, publisher: Bus) -> None:
        self.kind = numbered()
        self.confirmed: set[int] = set()
        self.failed: set[int] = set()
        self.handled: Counter[int] = Counter()
        self.service = Service(unique("s"))
        self.service.on(self.kind)(lambda event: self.handled.update([event.number]))
        self._publisher = publisher
        self._next = 0
        self._is_running = False
        self._greenlets: list[Any] = []

    def load(self, publishers: int = 10, pause: float = 0.001) -> None:
        """Publish from several greenlets until `rest`."""
        self._is_running = True
        self._greenlets = [gevent.spawn(self._publish, pause) for _ in range(publishers)]

    def _publish(self, pause: float) -> None:
        while self._is_running:
            number, self._next = self._next, self._next + 1
            try:
                self._publisher.publish(self.kind(number=number), timeout=PATIENCE)
            except EventBusError:
                self.failed.add(number)
            else:
                self.confirmed.add(number)
            gevent.sleep(pause)

    def rest(self) -> None:
        self._is_running = False
        gevent.joinall(self._greenlets, raise_error=True)

    @property
    def missing(self) -> set[int]:
        return self.confirmed - self.handled.keys()

    @property
    def doubled(self) -> list[int]:
        return [number for number, count in self.handled.items() if count > 1]

    @property
    def held(self) -> int:
        """Events that the broker may hold: confirmed or just being published, and not handled."""
        return len(self.missing) + len(self._greenlets)

    def flows(self) -> None:
        """Return once new events are handled again."""
        before = len(self.handled)
        eventually(lambda: len(self.handled) > before + 50)


def under_load(make_bus: MakeBus, nsqd: Nsqd) -> Ledger:
    """Return a ledger whose events flow through `nsqd`, published on one bus and consumed on another."""
    ledger = Ledger(make_bus(nsqd.url, query=QUICK))
    make_bus(nsqd.url, query=QUICK).start(ledger.service)
    ledger.load()
    return ledger


def test_an_nsqd_killed_under_load_loses_only_what_it_held(nsqd: Nsqd, make_bus: MakeBus) -> None:
    """F1: publishing and consuming go on after it is back; only messages in its memory can be missing."""
    ledger = under_load(make_bus, nsqd)
    ledger.flows()
    confirmed_before = set(ledger.confirmed)
    nsqd.kill()
    held = ledger.held
    gevent.sleep(0.5)
    nsqd.start()
    ledger.flows()
    ledger.rest()
    after = ledger.confirmed - confirmed_before - {max(confirmed_before) + step for step in range(30)}
    eventually(lambda: after <= ledger.handled.keys(), "all that was confirmed after the restart is handled")
    assert len(ledger.missing) <= held, "more is missing than the nsqd held in memory"


def test_an_nsqd_killed_and_back_on_another_port_is_found_by_lookup(
    lookupd: Nsqlookupd, make_bus: MakeBus, ends: Ends
) -> None:
    """F3."""
    nsqd = ends(Nsqd(lookupds=(lookupd,)))
    url = f"nsq://{lookupd.http}?{QUICK}"
    eventually(lambda: make_bus(url).engine.nodes())  # type: ignore[attr-defined]
    bus, consumer = make_bus(url), make_bus(url)
    ledger = Ledger(bus)
    consumer.start(ledger.service)
    ledger.load()
    ledger.flows()
    nsqd.kill()
    held = ledger.held
    nsqd.new_ports()
    nsqd.start()
    ledger.flows()
    ledger.rest()
    eventually(lambda: len(ledger.missing) <= held, "all but what the nsqd held in memory")


def test_a_graceful_restart_loses_nothing(nsqd: Nsqd, make_bus: MakeBus) -> None:
    """F3."""
    ledger = under_load(make_bus, nsqd)
    for _ in range(3):
        ledger.flows()
        nsqd.stop()
        nsqd.start()
    ledger.flows()
    ledger.rest()
    eventually(lambda: not ledger.missing)
    assert not ledger.failed


def test_an_nsqd_stopped_for_longer_than_two_heartbeats_and_continued(nsqd: Nsqd, make_bus: MakeBus) -> None:
    """F2: noticed, and taken up again; nothing that was confirmed is missing."""
    bus, consumer = make_bus(nsqd.url, query=QUICK), make_bus(nsqd.url, query=QUICK, message_timeout=2.0)
    ledger = Ledger(bus)
    consumer.start(ledger.service)
    ledger.load()
    ledger.flows()
    nsqd.freeze()
    eventually(lambda: not consumer.dispatchers[0].subscription.connections)  # type: ignore[union-attr]
    nsqd.thaw()
    ledger.flows()
    ledger.rest()
    eventually(lambda: not ledger.missing)


def test_both_nsqlookupd_down_at_start_and_later(make_bus: MakeBus, ends: Ends) -> None:
    """F4: a consumer that starts while all are down finds its nsqd once one is up; later outages stop nobody."""
    lookupds = [ends(Nsqlookupd()) for _ in range(2)]
    nsqd = ends(Nsqd(lookupds=tuple(lookupds)))
    for each in lookupds:
        each.end()
    url = f"nsq://{lookupds[0].http},{lookupds[1].http}?{QUICK}&publish={nsqd.tcp}"
    bus, consumer = make_bus(url), make_bus(url)
    ledger = Ledger(bus)
    consumer.start(ledger.service)
    ledger.load(publishers=2, pause=0.01)
    gevent.sleep(1)
    assert not ledger.handled
    for each in lookupds:
        each.start()
    ledger.flows()
    for each in lookupds:
        each.end()
    ledger.flows()
    ledger.rest()
    eventually(lambda: not ledger.missing)
    assert not ledger.failed


def test_an_nsqd_added_and_one_removed_while_running(lookupd: Nsqlookupd, make_bus: MakeBus, ends: Ends) -> None:
    first = ends(Nsqd(lookupds=(lookupd,)))
    url = f"nsq://{lookupd.http}?{QUICK}"
    eventually(lambda: make_bus(url).engine.nodes())  # type: ignore[attr-defined]
    bus, consumer = make_bus(url), make_bus(url)
    ledger = Ledger(bus)
    consumer.start(ledger.service)
    ledger.load()
    ledger.flows()
    second = ends(Nsqd(lookupds=(lookupd,)))
    for each in (bus, consumer):
        eventually(lambda known=each: len(known.engine.nodes()) == 2)  # type: ignore[misc]
    # a remover drains it first: publishers go to the other one, consumers empty it, and then it ends
    first.stop()
    ledger.flows()
    ledger.rest()
    first.start()  # what it had kept on disk is not lost
    eventually(lambda: not ledger.missing)
    assert second.get("/stats", format="json")["topics"]


def test_connections_cut_in_the_middle_of_frames(nsqd: Nsqd, make_bus: MakeBus, ends: Ends) -> None:
    """F7: both directions of both sides, again and again; nothing is missing."""
    up, down = ends(Proxy(nsqd.tcp)), ends(Proxy(nsqd.tcp))
    bus = make_bus(up.url, query=f"http={nsqd.http}&{QUICK}")
    consumer = make_bus(down.url, query=f"http={nsqd.http}&{QUICK}", message_timeout=1.0)
    ledger = Ledger(bus)
    consumer.start(ledger.service)
    ledger.load()
    for turn in range(12):
        up.cut_upstream_after = 1000 + 137 * turn
        down.cut_downstream_after = 1000 + 211 * turn
        if turn % 3 == 0:
            up.cut_downstream_after = 7
            down.cut_upstream_after = 31
        eventually(lambda: up.is_done_cutting and down.is_done_cutting)
    ledger.rest()
    eventually(lambda: not ledger.missing)
    assert up.connections > 12
    assert down.connections > 12


def test_a_slow_reader_is_fed_at_its_own_pace(nsqd: Nsqd, make_bus: MakeBus, ends: Ends) -> None:
    """F19: a consumer behind a slow network holds no more than it may; others are not slowed; nothing is missing."""
    slow = ends(Proxy(nsqd.tcp))
    slow.piece = 400
    bus = make_bus(nsqd.url)
    consumer = make_bus(slow.url, query=f"http={nsqd.http}&max_in_flight=20")
    ledger = Ledger(bus)
    consumer.start(ledger.service)
    ledger.load(publishers=20, pause=0.0005)
    eventually(lambda: ledger.handled)
    for wanted in range(200, 2001, 200):
        eventually(lambda wanted=wanted: len(ledger.confirmed) > wanted)  # type: ignore[misc]
        assert consumer.dispatchers[0].subscription.in_flight <= 20  # type: ignore[union-attr]
    ledger.rest()
    eventually(lambda: not ledger.missing)


def test_nsqd_without_memory_queue(make_bus: MakeBus, ends: Ends) -> None:
    """--mem-queue-size=0: everything by way of the disk, over a graceful restart."""
    nsqd = ends(Nsqd("-mem-queue-size=0"))
    ledger = under_load(make_bus, nsqd)
    ledger.flows()
    nsqd.stop()
    nsqd.start()
    ledger.flows()
    ledger.rest()
    eventually(lambda: not ledger.missing)


def test_two_copies_survive_an_nsqd_that_is_killed_and_its_data_deleted(make_bus: MakeBus, ends: Ends) -> None:
    """Published while nobody consumes; one of the two nsqd and its folder are gone; nothing is missing."""
    one, two = ends(Nsqd()), ends(Nsqd())
    url = f"nsq+direct://{one.tcp},{two.tcp}?http={one.http},{two.http}&copies=2&{QUICK}"
    bus = make_bus(url)
    ledger = Ledger(bus)
    bus.declare(ledger.service)
    ledger.load(publishers=5)
    eventually(lambda: len(ledger.confirmed) > 500)
    ledger.rest()
    one.kill()
    shutil.rmtree(one.folder)
    consumer = make_bus(url)
    consumer.start(ledger.service)
    eventually(lambda: not ledger.missing)
    assert not ledger.failed
