"""Consuming from nsqd: what other clients get wrong, each fault by its number in the list of gnsq's shortfalls."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
import gevent.socket
import pytest
from gevent.server import StreamServer

from eventbus import Bus
from eventbus.engines.nsq.addresses import Address
from eventbus.engines.nsq.engine import NsqEngine, open_nsq
from eventbus.testing.conformance.kit import Seen, listener, numbered, publish_numbers, unique
from tests.integration.subscribing import subscribe, subscription
from tests.nsqd import Nsqd, Nsqlookupd
from tests.peers import Proxy, ScriptedNsqd, frame
from tests.waiting import PATIENCE, eventually, hub_turns

MakeBus = Callable[..., Bus]
Ends = Callable[[Any], Any]


def test_heartbeats_are_answered_while_handlers_block_and_handlers_run_side_by_side(nsqd: Nsqd, make_bus: MakeBus) -> None:
    """1: a handler of four heartbeats; four at a time; nothing is delivered twice."""
    kind, seen, begun_before_an_end = numbered(), Seen(), []
    bus = make_bus(nsqd.url, query="heartbeat=3")
    bus.start(listener(kind, seen, act=lambda event, context: gevent.sleep(12) or begun_before_an_end.append(len(seen))))
    publish_numbers(bus, kind, range(4))
    eventually(lambda: begun_before_an_end == [4, 4, 4, 4])
    assert seen.attempts == [1, 1, 1, 1]


def test_a_slow_nsqd_does_not_stop_the_others(nsqd: Nsqd, ends: Ends) -> None:
    """2 and 9: one peer that never answers IDENTIFY; the other gets its RDY and is consumed at once."""
    silent = ends(ScriptedNsqd(identify=lambda socket: gevent.sleep(3600)))
    engine = ends(open_nsq(f"nsq+direct://{silent.address},{nsqd.tcp}?publish={nsqd.tcp}&connect_timeout=1"))
    got: list[Any] = []
    subscribe(engine, into=got)
    engine.publish("t", b"x", delay=0.0, timeout=PATIENCE)
    eventually(lambda: got)


def test_a_handler_that_is_killed_leaves_no_half_frame(nsqd: Nsqd, make_bus: MakeBus) -> None:
    """5: greenlets killed in the middle of publishing 500 kB; the connection goes on and all other messages are whole."""
    kind, seen = numbered(), Seen()
    bus = make_bus(nsqd.url)
    bus.start(listener(kind, seen))
    for turn in range(30):
        victim = gevent.spawn(bus.publish, kind(number=-1, text="x" * 500_000))
        gevent.sleep(0)
        victim.kill()
        bus.publish(kind(number=turn))
    eventually(lambda: set(range(30)) <= set(seen.numbers))
    assert bus.dead_letters(kind, bus.dispatchers[0].service).list() == []


def test_reconnecting_never_ends_and_never_spins(ends: Ends) -> None:
    """7: connections refused, 200 pauses computed far beyond any outage; and the rate of attempts is bounded."""
    peer = ends(ScriptedNsqd(lambda peer, socket: None))  # accepts, shakes hands and closes
    engine = ends(open_nsq(f"{peer.url}?reconnect_ceiling=0.5"))
    subscribe(engine)
    eventually(lambda: peer.connections >= 3)
    before, began = peer.connections, time.monotonic()
    eventually(lambda: peer.connections >= before + 6)
    assert peer.connections - before <= 3 + 7 * (time.monotonic() - began)


def test_a_refused_subscription_is_said_and_tried_slowly(ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    """8: SUB's answer is read; the error names address and reason; attempts do not spin."""

    def refuse(peer: ScriptedNsqd, socket: Any) -> None:
        peer.read_line(socket)
        socket.sendall(frame(1, b"E_SUB_FAILED too many channel consumers"))

    peer = ends(ScriptedNsqd(refuse))
    engine = ends(open_nsq(f"{peer.url}?reconnect_ceiling=1"))
    began = time.monotonic()
    subscribe(engine)
    said = f"nsqd {peer.address}: nsqd says E_SUB_FAILED too many channel consumers; trying again"
    eventually(lambda: said in caplog.text)
    eventually(lambda: peer.connections >= 4)
    assert peer.connections <= 4 + 6 * (time.monotonic() - began)


def test_all_nsqlookupd_are_asked_and_what_they_know_is_joined(ends: Ends) -> None:
    """9: two nsqlookupd that know one nsqd each, and a third that is dead."""
    ones, twos = ends(Nsqlookupd()), ends(Nsqlookupd())
    left, right = ends(Nsqd(lookupds=(ones,))), ends(Nsqd(lookupds=(twos,)))
    engine = ends(open_nsq(f"nsq://{ones.http},127.0.0.1:9,{twos.http}?lookup_interval=1&publish={left.tcp}"))
    for nsqd in (left, right):
        nsqd.post("/topic/create", topic="t")
    joined = subscribe(engine)
    eventually(lambda: {each.address for each in joined.connections} == {left.tcp, right.tcp})


def test_a_hanging_nsqlookupd_holds_nobody_up(nsqd: Nsqd, lookupd: Nsqlookupd, ends: Ends) -> None:
    """10: a server that takes the request and says nothing; the hub goes on, the question ends within its limit."""

    asked = gevent.event.Event()

    def hang(socket: Any, _address: Any) -> None:
        asked.set()
        gevent.sleep(3600)

    server = StreamServer(("127.0.0.1", 0), hang)
    server.start()
    ends(type("Server", (), {"end": lambda self: server.stop(timeout=0.1)})())
    engine = ends(open_nsq(f"nsq://127.0.0.1:{server.server_port},{lookupd.http}?connect_timeout=4&lookup_interval=1"))
    with hub_turns() as turns, gevent.Timeout(PATIENCE):
        subscribe(engine)
        asked.wait()
        gevent.sleep(5)  # longer than the question may hang
    assert max(turns) < 4


def test_the_message_timeout_is_negotiated(ends: Ends) -> None:
    """18 of the checklist; and what nsqd grants counts, not what was asked."""
    nsqd = ends(Nsqd("-max-msg-timeout=30s"))
    engine = ends(open_nsq(nsqd.url))
    got: list[Any] = []
    joined = engine.subscribe("t", "c", got.extend, max_in_flight=5, message_timeout=7.0)
    assert joined.message_timeout == 7.0  # nsqd's own word: it would say 60 had it not agreed
    channel = nsqd.get("/stats", format="json")["topics"][0]["channels"][0]
    assert channel["clients"][0]["user_agent"].startswith("eventbus/")


def test_topology_sample_rate_and_client_id_are_sent(ends: Ends) -> None:
    """31 and 41 of the checklist."""
    peer = ends(ScriptedNsqd(lambda peer, socket: gevent.sleep(60)))
    engine = ends(open_nsq(f"{peer.url}?region=eu&zone=eu-1&sample_rate=25&client_id=me&heartbeat=7&connect_timeout=0.3"))
    subscribe(engine)
    eventually(lambda: peer.identity)
    assert peer.identity["topology_region"] == "eu"
    assert peer.identity["topology_zone"] == "eu-1"
    assert peer.identity["sample_rate"] == 25
    assert peer.identity["client_id"] == "me"
    assert peer.identity["heartbeat_interval"] == 7000


def test_nodes_can_be_filtered(ends: Ends) -> None:
    """42 of the checklist."""
    lookupd = ends(Nsqlookupd())
    near, far = ends(Nsqd(lookupds=(lookupd,))), ends(Nsqd(lookupds=(lookupd,)))
    engine = ends(NsqEngine(lookupds=(lookupd.http,), accept=lambda node: node.tcp == near.tcp))
    for nsqd in (near, far):
        nsqd.post("/topic/create", topic="t")
    eventually(lambda: [node.tcp for node in engine.nodes()] == [near.tcp])
    joined = subscribe(engine)
    eventually(lambda: [each.address for each in joined.connections] == [near.tcp])


def test_a_silent_peer_is_noticed(nsqd: Nsqd, ends: Ends) -> None:
    """11 of the checklist: nothing for 2.5 heartbeats."""
    proxy = ends(Proxy(nsqd.tcp))
    engine = ends(open_nsq(f"{proxy.url}?heartbeat=1"))
    joined = subscribe(engine)
    assert len(joined.connections) == 1
    proxy.is_silent = True
    eventually(lambda: not joined.connections)
    proxy.is_silent = False
    eventually(lambda: joined.connections)


def test_a_stop_asks_nsqd_to_push_no_more_and_gives_back_at_once(nsqd: Nsqd, make_bus: MakeBus) -> None:
    """4: RDY 0, CLS, CLOSE_WAIT, REQ 0; the rest is there for others at once, not after the message timeout."""
    kind, before, after = numbered(), Seen(), Seen()
    name = unique("s")
    bus = make_bus(nsqd.url)
    bus.start(
        listener(kind, before, name=name, concurrency=1, max_in_flight=50, act=lambda event, context: gevent.sleep(0.5))
    )
    publish_numbers(bus, kind, range(50))
    eventually(lambda: bus.dispatchers[0].subscription is not None and subscription(bus).in_flight > 1)
    bus.stop(grace=PATIENCE)

    def is_free() -> bool:
        channel = nsqd.get("/stats", format="json")["topics"][0]["channels"][0]
        return (channel["in_flight_count"], channel["clients"]) == (0, [])

    eventually(is_free)
    other = make_bus(nsqd.url)
    other.start(listener(kind, after, name=name))
    eventually(lambda: len(after) == 50 - len(before.numbers))
    assert sorted(before.numbers + after.numbers) == list(range(50))


def test_a_consumer_may_start_before_its_topic_exists_and_declares_it_everywhere(ends: Ends) -> None:
    """Declared on every nsqd and nsqlookupd; no throwaway message; a later nsqd makes the channel by itself."""
    lookupd = ends(Nsqlookupd())
    nsqds = [ends(Nsqd(lookupds=(lookupd,))) for _ in range(2)]
    engine = ends(open_nsq(f"nsq://{lookupd.http}?lookup_interval=1"))
    eventually(lambda: len(engine.nodes()) == 2)
    engine.declare("t", ["c"])
    for nsqd in nsqds:
        (topic,) = nsqd.get("/stats", format="json")["topics"]
        assert (topic["message_count"], [each["channel_name"] for each in topic["channels"]]) == (0, ["c"])
    late = ends(Nsqd(lookupds=(lookupd,)))
    ends(open_nsq(late.url)).publish("t", b"early", delay=0.0, timeout=PATIENCE)
    got: list[Any] = []
    subscribe(engine, into=got)
    eventually(lambda: [each.body for each in got] == [b"early"])


def test_declaring_goes_by_subscribing_where_the_http_port_is_closed(nsqd: Nsqd, ends: Ends) -> None:
    engine = ends(open_nsq(f"nsq+direct://{nsqd.tcp}?http=127.0.0.1:9"))
    engine.declare("t", ["c", "d"])
    (topic,) = nsqd.get("/stats", format="json")["topics"]
    assert topic["message_count"] == 0
    assert sorted(each["channel_name"] for each in topic["channels"]) == ["c", "d"]


def test_an_nsqd_that_left_the_list_is_forgotten_once_it_is_lost(ends: Ends) -> None:
    """8 of the checklist; 1.3 item 21: addresses do not pile up."""
    lookupd = ends(Nsqlookupd())
    nsqd = ends(Nsqd(lookupds=(lookupd,)))
    nsqd.post("/topic/create", topic="t")
    engine = ends(open_nsq(f"nsq://{lookupd.http}?lookup_interval=0.2"))
    joined = subscribe(engine)
    eventually(lambda: joined.connections)
    nsqd.stop()
    eventually(lambda: not joined._links)


def test_ipv6(ends: Ends) -> None:
    """40 of the checklist: a real nsqd on ::1, for publishing, consuming and HTTP."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    nsqd = Nsqd(start=False)
    nsqd.tcp, nsqd.http = Address("::1", nsqd.tcp.port), Address("::1", nsqd.http.port)
    nsqd.start()
    ends(nsqd)
    engine = ends(open_nsq(nsqd.url))
    got: list[Any] = []
    subscribe(engine, into=got)
    engine.publish("t", b"six", delay=0.0, timeout=PATIENCE)
    eventually(lambda: [each.body for each in got] == [b"six"])
    assert "t" in engine.stats()
