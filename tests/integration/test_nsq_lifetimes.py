"""The NSQ engine's starts, forks and stops: each touches only what is its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from eventbus import Bus, BusStateError, DrainReport, Service
from eventbus.engines.nsq.dialing import dial
from eventbus.engines.nsq.handshake import FeatureRefusedError, open_session
from eventbus.engines.nsq.options import NsqOptions
from eventbus.errors import BrokerUnreachableError
from eventbus.testing.conformance.kit import Seen, listener, numbered, publish_numbers
from tests.nsqd import Nsqd, Nsqlookupd
from tests.peers import ScriptedNsqd
from tests.waiting import PATIENCE, eventually

Ends = Callable[[Any], Any]


MakeBus = Callable[..., Bus]


def test_a_start_takes_as_long_for_many_topics_as_for_one_while_servers_hang(ends: Ends, make_bus: MakeBus) -> None:
    lookups = (ends(Nsqlookupd()), ends(Nsqlookupd()))
    alive, frozen = ends(Nsqd(lookupds=lookups)), ends(Nsqd(lookupds=lookups))
    services = [listener(numbered(), Seen(), name=f"s{number}") for number in range(12)]
    url = f"nsq://{lookups[0].http},{lookups[1].http}?connect_timeout=1"
    eventually(lambda: len(make_bus(url).engine.nodes()) == 2)  # type: ignore[attr-defined]
    make_bus(url).declare(*services)
    frozen.freeze()
    os.kill(lookups[1].process.process.pid, 19)
    try:
        took = []
        for group in (services[:1], services[1:]):
            began = time.monotonic()
            make_bus(url).start(*group)
            took.append(time.monotonic() - began)
        assert took[1] < 3 * took[0] + 5, took  # one after the other it would be eleven times as long
        with pytest.raises(BrokerUnreachableError, match=str(frozen.tcp)):
            make_bus(url).declare(services[0])
    finally:
        frozen.thaw()
        os.kill(lookups[1].process.process.pid, 18)
    assert alive.get("/ping") is None


def test_reconnecting_backs_off_while_publishers_wait(ends: Ends, make_bus: MakeBus) -> None:
    peer = ends(ScriptedNsqd(lambda peer, socket: socket.close()))
    bus = make_bus(peer.url, query="connect_timeout=1")
    kind = numbered()

    def publish() -> None:
        for _ in range(3):
            with pytest.raises(Exception, match="nsqd|publish"):
                bus.publish(kind(number=1), timeout=2.0)

    gevent.joinall([gevent.spawn(publish) for _ in range(5)], raise_error=True)
    assert peer.connections < 20


def test_a_secret_goes_to_no_host_that_only_nsqlookupd_names(ends: Ends) -> None:
    def look(peer: ScriptedNsqd, socket: Any) -> None:
        peer.read_line(socket)

    peer = ends(ScriptedNsqd(look, auth_required=True))
    options = NsqOptions(auth_secret="s3cret")
    with pytest.raises(FeatureRefusedError, match="without TLS"):
        open_session(peer.address, options, lambda *_: None)
    assert not peer.received


@pytest.mark.parametrize("first", ["publish", "stop", "sleep"])
def test_a_forked_child_touches_nothing_of_its_parent(nsqd: Nsqd, make_bus: MakeBus, first: str) -> None:
    kind, seen = numbered(), Seen()
    bus = make_bus(nsqd.url)
    bus.start(listener(kind, seen, act=lambda event, context: gevent.sleep(0.2)))
    publish_numbers(bus, kind, range(10))
    eventually(lambda: len(seen) == 10)  # they run while it forks
    ready, said = os.pipe()
    child = os.fork()
    if child == 0:
        answer = "nothing"
        try:
            if first == "sleep":
                gevent.sleep(1.0)
                answer = f"handled {len(seen) - 10}"
            else:
                began = time.monotonic()
                try:
                    bus.publish(kind(number=99)) if first == "publish" else bus.stop()
                except BusStateError as error:
                    answer = f"BusStateError {'make a new Bus in this process' in str(error)} {time.monotonic() - began < 1}"
                with Bus(nsqd.url) as own:
                    own.publish(kind(number=100))
        finally:
            os.write(said, answer.encode())
            os._exit(0)
    publish_numbers(bus, kind, range(10, 60))
    eventually(lambda: len(set(seen.numbers)) >= 60)
    os.waitpid(child, 0)
    assert os.read(ready, 1000).decode() == ("handled 0" if first == "sleep" else "BusStateError True True")
    assert max(Counter(seen.numbers).values()) == 1
    eventually(lambda: bus.dispatchers[0].handled == (60 if first == "sleep" else 61))


def test_a_handshake_that_is_under_way_at_a_fork_does_not_go_on_in_the_child(ends: Ends) -> None:
    """The copy of a socket that no connection owns yet leads nowhere, and the parent's goes on."""
    got: list[bytes] = []
    peer = ends(ScriptedNsqd(identify=lambda socket: got.append(ScriptedNsqd.read_exactly(socket, 13))))
    connection = dial(peer.address, timeout=PATIENCE)
    child = os.fork()
    if child == 0:
        try:
            connection.sendall(b"from the child")
        except OSError:
            pass
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    connection.sendall(b"  V2IDENTIFY\n\0\0\0\2{}of its parent")
    eventually(lambda: got)
    connection.close()
    assert got == [b"of its parent"]


FORKING = """
from gevent import monkey
monkey.patch_all()
import multiprocessing, os, sys, time
import gevent
from eventbus import Bus, Event, Service

url, way = sys.argv[1:]
seen = []
children = []

class Thing(Event, topic="things"):
    number: int

def work():
    time.sleep(0.3)  # lets the hub run: a copy of a handler that is thrown out gets no further
    sys.exit(7)

service = Service("svc")

@service.on(Thing, concurrency=3)
def handle(thing: Thing) -> None:
    seen.append(thing.number)
    if thing.number == 3 and way == "multiprocessing":
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join()
        children.append(child.exitcode)
    elif thing.number == 3:
        child = os.fork()
        if child == 0:
            work()
        children.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    else:
        gevent.sleep(0.01)

with Bus(url) as bus:
    bus.start(service)
    bus.publish_all([Thing(number=number) for number in range(20)])
    while len(seen) < 20 or not children:
        gevent.sleep(0.01)
print(sorted(seen) == list(range(20)), children)
"""


@pytest.mark.parametrize("way", ["multiprocessing", "fork"])
@pytest.mark.parametrize("engine", ["memory", "nsq"])
def test_a_handler_that_forks_may_wait_and_exit_in_the_child(nsqd: Nsqd, engine: str, way: str) -> None:
    url = nsqd.url if engine == "nsq" else "memory://"
    done = subprocess.run(
        [sys.executable, "-c", FORKING, url, way], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.stdout == "True [7]\n", done.stderr


def test_stop_in_a_handler_begins_the_stop_and_lets_the_handler_end(nsqd: Nsqd, make_bus: MakeBus) -> None:
    kind, reports = numbered(), list[DrainReport]()
    bus = make_bus(nsqd.url)
    service = Service("s")

    @service.on(kind)
    def handle(event: kind) -> None:  # type: ignore[valid-type]
        reports.append(bus.stop())

    bus.start(service)
    bus.publish(kind(number=1))
    eventually(lambda: reports and bus._stopped.is_set())
    channel = nsqd.get("/stats", format="json")["topics"][0]["channels"][0]
    assert (channel["in_flight_count"], channel["depth"]) == (0, 0)


def test_stop_while_starting_ends_the_start_and_leaves_nothing_open(ends: Ends, make_bus: MakeBus) -> None:
    frozen = ends(Nsqd())
    frozen.freeze()
    bus = make_bus(frozen.url)
    starting = gevent.spawn(bus.start, listener(numbered(), Seen()))
    gevent.sleep(0.2)
    bus.stop(grace=0.0)
    with pytest.raises(BusStateError, match="stopped while it started"):
        starting.get(timeout=20)
    frozen.thaw()
    assert not bus.engine._subscriptions  # type: ignore[attr-defined]
