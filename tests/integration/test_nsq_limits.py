"""Bounds in bytes and time: sizes beyond our own, memory, deliveries that are nsqd's no more, frozen servers, forks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from eventbus import Bus, NotSent
from eventbus.engines.nsq import frames
from eventbus.engines.nsq.engine import open_nsq
from eventbus.engines.nsq.frames import HEAD, FrameBuffer
from eventbus.engines.nsq.intake import Intake
from eventbus.testing.conformance.kit import Seen, listener, numbered, publish_numbers
from tests.nsqd import Nsqd
from tests.peers import ScriptedNsqd, frame, message
from tests.waiting import eventually, stays

Ends = Callable[[Any], Any]
MakeBus = Callable[..., Bus]


# -- sizes -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "max_read_bytes=65536"])
def test_a_message_beyond_our_own_limit_is_parked_and_the_connection_lives(
    ends: Ends, make_bus: MakeBus, query: str
) -> None:
    nsqd = ends(Nsqd("-max-msg-size=4194304"))
    kind, seen = numbered(), Seen()
    service = listener(kind, seen)
    bus = make_bus(nsqd.url, query=query)
    bus.declare(service)
    topic = service.topics[0]
    publish_numbers(bus, kind, range(20))
    large = make_bus(nsqd.url, query="max_message_bytes=4000000&max_body_bytes=5000000")
    for size in (2 * 1024 * 1024, 1024 * 1024 + 30_000):
        large.engine.publish(topic, b"x" * size, delay=0.0, timeout=20.0)
    publish_numbers(bus, kind, range(20, 40))
    bus.start(service)
    eventually(lambda: sorted(seen.numbers) == list(range(40)))
    letters = bus.dead_letters(kind, service)
    eventually(lambda: letters.count() == 2)
    assert sorted(seen.numbers) == list(range(40)), "the connection ended, and events came again"

    def counts(*names: str) -> list[int]:
        topics = nsqd.get("/stats", format="json")["topics"]
        channel = next(each for each in topics if each["topic_name"] == topic)["channels"][0]
        return [channel[each] for each in names]

    eventually(lambda: counts("in_flight_count", "depth") == [0, 0], "the last answer, which follows its letter")
    assert counts("timeout_count", "requeue_count") == [0, 0]


def test_the_rest_of_a_message_too_long_to_be_read_is_passed_over_however_it_is_cut() -> None:
    made: list[Any] = []
    stream = message(b"before") + message(b"H" * 300_000) + message(b"after") + frame(0, b"OK")
    for cut in (1, 7, 4096, 65536, 1_000_000):
        parser: FrameBuffer[Any] = FrameBuffer(lambda *parts: parts[3], 80_000, lambda *parts: parts[3:])
        got: list[Any] = []
        others: list[Any] = []
        for begin in range(0, len(stream), cut) if cut > 1 else [0]:
            step = cut if cut > 1 else len(stream)
            parser.feed(stream[begin : begin + step])
            messages, rest = parser.take()
            got += messages
            others += rest
        made.append(others)
        assert got[0] == b"before"
        assert got[-1] == b"after"
        assert got[1] in ((b"H" * HEAD, 300_000), b"H" * 300_000)
    assert made == [[(frames.RESPONSE, b"OK")]] * 5


def test_a_buffer_gives_back_what_a_large_frame_took() -> None:
    parser: FrameBuffer[Any] = FrameBuffer(lambda *parts: parts, 4_000_000)
    parser.feed(message(b"x" * 2_000_000))
    parser.take()
    assert parser.size >= 2_000_000
    parser.shrink()  # it was used since the last look
    parser.shrink()
    assert parser.size < 100_000
    parser.feed(message(b"y"))
    assert len(parser.take()[0]) == 1


def test_rdy_follows_the_sizes_so_that_the_bytes_held_are_bounded(nsqd: Nsqd, ends: Ends) -> None:
    engine = ends(open_nsq(f"{nsqd.url}&max_in_flight_bytes=4000000"))
    engine.declare("t", ["c"])
    engine.publish_many("t", [b"s" * 100] * 50, timeout=20.0)
    for _ in range(60):
        engine.publish("t", b"x" * 500_000, delay=0.0, timeout=20.0)
    got: list[Any] = []
    engine.subscribe("t", "c", got.extend, max_in_flight=500, message_timeout=60.0)
    eventually(lambda: engine._intake.used > 3_000_000)
    stays(lambda: engine._intake.used <= 4_000_000 + 8_000_000, 1.0)  # and what lay in the sockets' buffers
    for number in range(110):  # all come, as room is made
        eventually(lambda number=number: len(got) > number)  # type: ignore[misc]
        got[number].finish()
    eventually(lambda: engine._intake.used == 0)


def test_room_for_bytes_is_told_to_those_that_were_cut() -> None:
    told: list[int] = []

    class Cut:
        def flush_soon(self) -> None:
            told.append(1)

    intake = Intake(1000)
    assert intake.room(100) == 10
    intake.used = 990
    assert intake.room(100) == 0
    intake.cut(Cut())
    intake.freed()
    assert not told
    intake.used = 100
    intake.freed()
    intake.freed()
    assert told == [1]


# -- time ------------------------------------------------------------------------------------------------------------------


def test_slow_handlers_hold_little_and_leave_a_second_worker_its_share(nsqd: Nsqd, make_bus: MakeBus) -> None:
    """Held deliveries time out, come again and are handled twice; and nobody else gets them meanwhile."""
    kind, one, two = numbered(), Seen(), Seen()
    first = listener(kind, one, name="s", concurrency=1, act=lambda event, context: gevent.sleep(0.2))
    second = listener(kind, two, name="s", concurrency=1, act=lambda event, context: gevent.sleep(0.2))
    busy, other = make_bus(nsqd.url), make_bus(nsqd.url)
    busy.declare(first)
    publish_numbers(busy, kind, range(40))
    busy.start(first)
    eventually(lambda: len(one) >= 2)
    other.start(second)
    held = busy.dispatchers[0].subscription
    assert held is not None
    assert held.in_flight <= 10
    eventually(lambda: len(one) + len(two) == 40)
    assert Counter(one.numbers + two.numbers).most_common(1)[0][1] == 1
    assert len(two) >= 10


def test_what_nsqd_has_given_to_others_is_not_begun(ends: Ends, make_bus: MakeBus) -> None:
    """Its connection ended while it waited here: it comes again, and must not run twice."""
    nsqd = ends(Nsqd())
    kind, runs, release = numbered(), Counter[int](), gevent.event.Event()

    def act(event: Any, context: Any) -> None:
        runs[event.number] += 1
        release.wait()

    bus = make_bus(nsqd.url, query="reconnect_ceiling=0.5")
    bus.start(listener(kind, Seen(), act=act, concurrency=4))
    publish_numbers(bus, kind, range(30))
    eventually(lambda: len(runs) == 4)
    began = set(runs)
    eventually(lambda: bus.dispatchers[0].subscription.in_flight > 4)  # type: ignore[union-attr]
    nsqd.stop()
    eventually(lambda: not bus.dispatchers[0].subscription.is_connected)  # type: ignore[union-attr]
    nsqd.start()
    release.set()
    eventually(lambda: len(runs) == 30)
    gevent.sleep(0.5)
    assert {number for number, count in runs.items() if count > 1} <= began


def test_two_names_of_one_nsqd_are_one_copy(nsqd: Nsqd, make_bus: MakeBus) -> None:
    bus = make_bus(f"nsq+direct://{nsqd.tcp},localhost:{nsqd.tcp.port}", query="copies=2&connect_timeout=1")
    with pytest.raises(NotSent, match="the same nsqd"):
        bus.publish(numbered()(number=1), timeout=2.0)


def test_the_first_list_of_a_process_goes_in_batches_also_with_copies(ends: Ends) -> None:
    def confirm(peer: ScriptedNsqd, socket: Any) -> None:
        while True:
            peer.read_publish(socket)
            socket.sendall(frame(0, b"OK"))

    for copies in (1, 2):
        peers = [ends(ScriptedNsqd(confirm)) for _ in range(copies)]
        addresses = ",".join(str(peer.address) for peer in peers)
        engine = ends(open_nsq(f"nsq+direct://{addresses}?copies={copies}&max_pending_bytes=100000"))
        engine.publish_many("t", [b"x" * 100] * 5000, timeout=20.0)
        for peer in peers:
            assert len(peer.received) < 100, "each message went by itself"


# -- processes and threads -------------------------------------------------------------------------------------------------
