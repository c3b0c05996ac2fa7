"""Shares of max in flight among the connections of one subscriber: none is starved, and all keep the limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
import gevent.socket

from eventbus import Bus
from eventbus.engines.nsq.engine import open_nsq
from eventbus.testing.conformance.kit import Seen, listener, numbered, publish_numbers
from eventbus.testing.conformance.worlds import LONG
from tests.integration.subscribing import subscribe
from tests.nsqd import Nsqd
from tests.peers import Proxy
from tests.waiting import PATIENCE, eventually, stays

MakeBus = Callable[..., Bus]
Ends = Callable[[Any], Any]


def test_max_in_flight_above_what_nsqd_allows_is_lowered(ends: Ends) -> None:
    """3: nsqd answers RDY above --max-rdy-count with a fatal error."""
    nsqd = ends(Nsqd("-max-rdy-count=100"))
    engine = ends(open_nsq(nsqd.url))
    got: list[Any] = []
    joined = subscribe(engine, max_in_flight=5000, into=got)
    for _ in range(300):
        engine.publish("t", b"x" * 1000, delay=0.0, timeout=PATIENCE)
    eventually(lambda: len(got) == 100)
    stays(lambda: len(joined.connections) == 1 and joined.in_flight == 100, 0.3)


def test_an_idle_connection_gets_its_full_share_at_once(nsqd: Nsqd, make_bus: MakeBus) -> None:
    """11: after 12 s without a message, a burst of 100 is held whole while none of them is answered."""
    kind, seen = numbered(), Seen()
    bus = make_bus(nsqd.url, query="max_in_flight=100")
    answer = gevent.event.Event()
    bus.start(listener(kind, seen, concurrency=100, act=lambda event, context: answer.wait() and None))
    gevent.sleep(12)
    publish_numbers(bus, kind, range(100))
    eventually(lambda: len(seen) == 100)
    assert bus.dispatchers[0].handled == 0
    answer.set()
    eventually(lambda: bus.dispatchers[0].handled == 100)


def test_fewer_in_flight_than_connections_starves_none(ends: Ends) -> None:
    """12: one in flight over three nsqd with a message each."""
    nsqds = [ends(Nsqd()) for _ in range(3)]
    engine = ends(open_nsq("nsq+direct://" + ",".join(str(each.tcp) for each in nsqds)))
    got: list[Any] = []

    def answer(batch: Any) -> None:
        got.extend(batch)
        for delivery in batch:
            delivery.finish()

    for nsqd in nsqds:
        ends(open_nsq(nsqd.url)).publish("t", b"x", delay=0.0, timeout=PATIENCE)
    engine.subscribe("t", "c", answer, max_in_flight=1, message_timeout=10.0)
    eventually(lambda: len(got) == 3)


def test_in_flight_never_passes_the_limit_while_shares_move(ends: Ends) -> None:
    """13: two nsqd, one joins late; what the first holds counts until it is answered."""
    first, second = ends(Nsqd()), ends(Nsqd())
    for nsqd in (first, second):
        engine = ends(open_nsq(nsqd.url))
        engine.publish_many("t", [b"x"] * 50, timeout=PATIENCE)
    proxy = ends(Proxy(second.tcp))
    proxy.is_silent = True
    engine = ends(open_nsq(f"nsq+direct://{first.tcp},{proxy.address}?connect_timeout=1"))
    got: list[Any] = []
    joined = engine.subscribe("t", "c", got.extend, max_in_flight=10, message_timeout=LONG)
    eventually(lambda: len(got) == 10)
    proxy.is_silent = False
    eventually(lambda: len(joined.connections) == 2)
    stays(lambda: joined.in_flight <= 10, 1.0)
    for delivery in got[:8]:
        delivery.finish()
    eventually(lambda: len(got) > 10)
    assert joined.in_flight <= 10


def test_a_starved_consumer_says_so(nsqd: Nsqd, ends: Ends) -> None:
    """23 and 24 of the checklist: is_starved, and another max in flight at run time."""
    engine = ends(open_nsq(nsqd.url))
    got: list[Any] = []
    joined = subscribe(engine, max_in_flight=10, into=got)
    engine.publish_many("t", [b"x"] * 50, timeout=PATIENCE)
    eventually(lambda: len(got) == 10)
    assert joined.is_starved
    joined.set_max_in_flight(30)
    eventually(lambda: len(got) == 30)
    joined.set_max_in_flight(0)
    for delivery in got:
        delivery.finish()
    stays(lambda: len(got) == 30, 0.3)
    assert not joined.is_starved
