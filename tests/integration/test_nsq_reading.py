"""What a consumer reads: pieces, large messages, compressed bytes, late answers, and what no peer may send."""

from __future__ import annotations

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
from eventbus.engines.nsq.engine import open_nsq
from tests.integration.subscribing import subscribe
from tests.nsqd import Nsqd
from tests.peers import Proxy, ScriptedNsqd, frame, message
from tests.waiting import PATIENCE, eventually

MakeBus = Callable[..., Bus]
Ends = Callable[[Any], Any]


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
