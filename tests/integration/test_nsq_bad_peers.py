"""Wrong addresses and peers that speak nonsense: a clear error or a logged retry, never a hang and never a spin."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.server import StreamServer

from eventbus import NotSent
from eventbus.engines.nsq.engine import NsqEngine, open_nsq
from eventbus.errors import EventBusError
from tests.nsqd import Nsqd, Nsqlookupd
from tests.peers import ScriptedNsqd, frame
from tests.ports import free_port
from tests.waiting import PATIENCE, eventually, fails_until_it_says

Ends = Callable[[Any], Any]


class Babbler:
    """Says the same to everybody who connects, and counts them."""

    def __init__(self, said: bytes) -> None:
        self.connections = 0
        self._said = said
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.address = f"127.0.0.1:{self._server.server_port}"

    def _serve(self, socket: Any, _address: Any) -> None:
        self.connections += 1
        socket.sendall(self._said)
        gevent.sleep(0.2)
        socket.close()

    def end(self) -> None:
        self._server.stop(timeout=0.1)


def refuses(engine: NsqEngine, said: str) -> None:
    """Publishing ends with an error that says it; subscribing logs it and goes on."""
    fails_until_it_says(lambda: engine.publish("t", b"x", delay=0.0, timeout=1.5), said, NotSent)
    with gevent.Timeout(PATIENCE):
        engine.subscribe("t", "c", lambda batch: None, max_in_flight=1, message_timeout=10.0)


def test_an_http_port_given_for_the_tcp_port_is_named(nsqd: Nsqd, ends: Ends) -> None:
    refuses(ends(open_nsq(f"nsq+direct://{nsqd.http}")), "give nsqd's TCP port")


def test_a_tcp_port_given_for_the_http_port_is_named(nsqd: Nsqd, ends: Ends) -> None:
    engine = ends(open_nsq(f"nsq+direct://{nsqd.tcp}?http={nsqd.tcp}"))
    with pytest.raises(EventBusError, match="give the HTTP port"):
        engine.stats()


def test_a_tcp_port_given_for_nsqlookupd_is_named(lookupd: Nsqlookupd, ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    engine = ends(open_nsq(f"nsq://{lookupd.tcp}?connect_timeout=0.5"))
    with pytest.raises(NotSent, match="none is known"):
        engine.publish("t", b"x", delay=0.0, timeout=1.0)
    eventually(lambda: f"nsqlookupd {lookupd.tcp}: " in caplog.text)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"220 mail.example ESMTP\r\n", "no NSQ frame"),
        (b"\x00" * 64, "no NSQ frame"),
        (b"", "ConnectionResetError|TimeoutError"),
        (frame(0, b"hello"), "answers IDENTIFY with no JSON"),
        (frame(0, b"[1]"), "no JSON object"),
        (frame(1, b"E_BAD_BODY no"), "nsqd says E_BAD_BODY no"),
    ],
)
def test_what_is_no_nsqd_is_named_and_not_hammered(ends: Ends, said: bytes, error: str) -> None:
    peer = ends(Babbler(said))
    engine = ends(open_nsq(f"nsq+direct://{peer.address}?connect_timeout=0.5&reconnect_ceiling=1"))
    refuses(engine, error)
    before, began = peer.connections, time.monotonic()
    gevent.sleep(2)
    assert peer.connections - before <= 6 * (time.monotonic() - began), "it is hammered"


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{not json",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"producers": 5}',
        b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
        b"garbage\r\n\r\n",
        b"",
    ],
)
def test_an_nsqlookupd_that_answers_nonsense_is_logged_once_and_the_other_counts(
    ends: Ends, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    good = ends(Nsqlookupd())
    nsqd = ends(Nsqd(lookupds=(good,)))
    nsqd.post("/topic/create", topic="t")
    bad = ends(Babbler(said))
    engine = ends(open_nsq(f"nsq://{bad.address},{good.http}?lookup_interval=0.2&connect_timeout=0.5"))
    got: list[Any] = []
    began = time.monotonic()
    joined = engine.subscribe("t", "c", got.extend, max_in_flight=1, message_timeout=10.0)
    eventually(lambda: [each.address for each in joined.connections] == [nsqd.tcp])
    eventually(lambda: bad.connections >= 4)
    assert caplog.text.count(f"nsqlookupd {bad.address}") == 1
    assert bad.connections <= 4 + 8 * (time.monotonic() - began)


def test_an_address_that_does_not_resolve_is_named(ends: Ends, capfd: pytest.CaptureFixture[str]) -> None:
    refuses(ends(open_nsq("nsq+direct://no-such-host.invalid:4150?connect_timeout=1")), "no-such-host|gaierror")
    assert "Traceback" not in capfd.readouterr().err, "gevent prints what its threads raise"


def test_of_many_nsqd_that_fail_a_few_are_named_and_the_others_counted(ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    """nsqlookupd may list hundreds, and no error or line of the log grows with them."""
    nodes = [
        {"broadcast_address": "127.0.0.1", "tcp_port": 1 + number, "http_port": 1 + number, "topics": []}
        for number in range(200)
    ]
    body = json.dumps({"producers": nodes}).encode()
    listing = ends(Babbler(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body))
    engine = ends(open_nsq(f"nsq://{listing.address}"))
    for act in (engine.stats, lambda: engine.pause("t"), lambda: engine.ping(timeout=PATIENCE)):
        caplog.clear()
        with pytest.raises(EventBusError, match="and 195 more") as told:
            act()
        assert len(str(told.value)) < 1000
        assert len(caplog.text) < 2000
    caplog.clear()
    assert len(engine.declare("t", ["c"])) == 200
    assert len(caplog.text) < 2000


def test_a_closed_port_is_named_and_not_hammered(ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    refuses(ends(open_nsq(f"nsq+direct://127.0.0.1:{port}")), "ConnectionRefusedError")
    gevent.sleep(1)
    assert 1 <= caplog.text.count(f"nsqd 127.0.0.1:{port}") <= 4, "the same is said again and again"


def test_an_answer_nobody_asked_for_is_passed_over(ends: Ends) -> None:
    def answer(peer: ScriptedNsqd, socket: Any) -> None:
        socket.sendall(frame(0, b"OK") * 3)
        peer.read_publish(socket)
        socket.sendall(frame(0, b"OK"))
        gevent.sleep(5)

    peer = ends(ScriptedNsqd(answer))
    engine = ends(open_nsq(peer.url))
    engine.publish("t", b"x", delay=0.0, timeout=PATIENCE)
