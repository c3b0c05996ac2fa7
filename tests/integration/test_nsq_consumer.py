"""Consuming from nsqd: what other clients get wrong, each fault by its number in the list of gnsq's shortfalls."""

from __future__ import annotations

import socket
import struct
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
from eventbus.engines.nsq.consumer import NsqSubscription
from eventbus.engines.nsq.engine import NsqEngine, open_nsq
from tests.conformance.kit import Seen, listener, numbered, publish_numbers
from tests.conformance.worlds import LONG, unique
from tests.nsqd import Nsqd, Nsqlookupd
from tests.peers import Proxy, ScriptedNsqd, frame, message
from tests.waiting import PATIENCE, eventually, hub_turns, stays

MakeBus = Callable[..., Bus]
Ends = Callable[[Any], Any]


def subscription(bus: Bus) -> NsqSubscription:
    found: Any = bus.dispatchers[0].subscription
    assert isinstance(found, NsqSubscription)
    return found


def subscribe(
    engine: NsqEngine, topic: str = "t", *, max_in_flight: int = 10, into: list[Any] | None = None
) -> NsqSubscription:
    got = [] if into is None else into
    return engine.subscribe(topic, "c", got.extend, max_in_flight=max_in_flight, message_timeout=LONG)


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


def test_a_late_answer_is_said_and_harms_nothing(nsqd: Nsqd, ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    """17: FIN after the message timeout; the connection lives, the log says it, in-flight counts stay right."""
    engine = ends(open_nsq(nsqd.url))
    got: list[Any] = []
    joined = engine.subscribe("t", "c", got.extend, max_in_flight=5, message_timeout=6.0)
    engine.publish("t", b"x", delay=0.0, timeout=PATIENCE)
    eventually(lambda: len(got) == 2)
    got[0].finish()
    got[1].finish()
    eventually(lambda: "came after the message timeout" in caplog.text)
    assert joined.in_flight == 0
    assert len(joined.connections) == 1
    assert got[1].attempts == 2


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


@pytest.mark.parametrize("compression", ["deflate", "snappy"])
def test_a_compressed_peer_that_vanishes_is_reconnected(nsqd: Nsqd, ends: Ends, compression: str) -> None:
    """6: closing writes nothing, so that a reset cannot leave a zombie."""
    proxy = ends(Proxy(nsqd.tcp))
    engine = ends(open_nsq(f"{proxy.url}?compression={compression}&publish={nsqd.tcp}"))
    got: list[Any] = []
    joined = subscribe(engine, into=got)
    for turn in range(3):
        eventually(lambda: joined.connections)
        engine.publish("t", b"x" * 5000, delay=0.0, timeout=PATIENCE)
        eventually(lambda wanted=turn + 1: len(got) >= wanted)
        for delivery in got:
            delivery.finish()
        gevent.sleep(0.05)
        proxy.cut()
        # what nsqd still sends to the connection that is gone waits for its message timeout
        eventually(lambda wanted=turn + 2: proxy.connections >= wanted)  # type: ignore[misc]


def test_pieces_of_three_bytes_are_put_together(nsqd: Nsqd, ends: Ends) -> None:
    proxy = ends(Proxy(nsqd.tcp))
    proxy.piece = 3
    engine = ends(open_nsq(proxy.url))
    got: list[Any] = []
    subscribe(engine, into=got)
    engine.publish("t", b"whole" * 100, delay=0.0, timeout=PATIENCE)
    eventually(lambda: [each.body for each in got] == [b"whole" * 100])


def test_reading_a_large_message_costs_no_more_for_each_byte(ends: Ends) -> None:
    """33: quadratic reading took gnsq 20 s, hundreds of times what the socket costs; measured in processor time."""
    size = 16 * 1024 * 1024
    nsqd = ends(Nsqd("-max-msg-size=20000000", "-max-body-size=30000000"))
    engine = ends(open_nsq(f"{nsqd.url}&max_message_bytes=20000000&max_body_bytes=30000000&max_pending_bytes=50000000"))
    got: list[Any] = []
    subscribe(engine, into=got)

    def by_the_bus() -> None:
        got.clear()
        engine.publish("t", bytes(size), delay=0.0, timeout=PATIENCE)
        eventually(lambda: got)
        got[0].finish()

    def by_the_socket() -> None:
        def send(sink: Any, _address: Any) -> None:
            sink.sendall(bytes(size))

        server = StreamServer(("127.0.0.1", 0), send)
        server.start()
        source = gevent.socket.create_connection(("127.0.0.1", server.server_port))
        received = 0
        while received < size:
            received += len(source.recv(65536))
        source.close()
        server.stop()

    def work(act: Callable[[], None]) -> float:
        took = []
        for _ in range(3):
            began = time.process_time()
            act()
            took.append(time.process_time() - began)
        return min(took)

    assert work(by_the_bus) < 20 * work(by_the_socket)


def test_the_largest_answer_is_bounded(ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    def announce(peer: ScriptedNsqd, socket: Any) -> None:
        peer.read_line(socket)
        socket.sendall(frame(0, b"OK") + struct.pack(">ii", 2**31 - 1, 0))
        gevent.sleep(5)

    peer = ends(ScriptedNsqd(announce))
    subscribe(ends(open_nsq(peer.url)))
    eventually(lambda: "no NSQ frame (size 2,147,483,647" in caplog.text)


def test_a_peer_that_pushes_what_nobody_asked_for_is_left_and_nothing_of_it_is_handled(
    ends: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    """nsqd pushes as many as RDY says, and none before it."""

    def hurry(peer: ScriptedNsqd, socket: Any) -> None:
        peer.read_line(socket)
        socket.sendall(frame(0, b"OK") + message(b"early"))
        gevent.sleep(5)

    def flood(peer: ScriptedNsqd, socket: Any) -> None:
        peer.read_line(socket)
        socket.sendall(frame(0, b"OK"))
        while peer.read_line(socket)[:3] != b"RDY":
            pass
        socket.sendall(b"".join(message(b"%d" % number, identifier=b"%016d" % number) for number in range(100)))
        gevent.sleep(5)

    got: list[Any] = []
    early, flooding = ends(ScriptedNsqd(hurry)), ends(ScriptedNsqd(flood))
    subscribe(ends(open_nsq(early.url)), into=got)
    eventually(lambda: "1 messages were pushed and RDY never passed 0" in caplog.text)
    subscription = subscribe(ends(open_nsq(flooding.url)), into=got, max_in_flight=10)
    eventually(lambda: "100 messages were pushed and RDY never passed" in caplog.text)
    assert not got
    assert subscription.in_flight == 0


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
