"""Publishing to nsqd: confirmations, failover and refusals, each fault by its number in the list of gnsq's shortfalls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import pytest

from eventbus import Bus, EventBusError, InvalidNameError, MessageTooLargeError, NotSent, OutcomeUnknown, Rejected
from eventbus.engines.nsq.engine import NsqEngine, open_nsq
from eventbus.testing.conformance.kit import Seen, listener, numbered, publish_numbers
from tests.nsqd import Nsqd
from tests.peers import Proxy, ScriptedNsqd, frame
from tests.ports import free_port
from tests.waiting import PATIENCE, eventually, hub_turns, stays

Ends = Callable[[Any], Any]
MakeBus = Callable[..., Bus]


def depth(nsqd: Nsqd, topic: str = "t") -> int:
    return sum(each["depth"] for each in nsqd.get("/stats", format="json")["topics"] if each["topic_name"] == topic)


def publish(
    engine: NsqEngine, body: bytes = b"x", *, topic: str = "t", delay: float = 0.0, timeout: float = PATIENCE
) -> None:
    engine.publish(topic, body, delay=delay, timeout=timeout)


def test_an_invalid_publish_shifts_no_confirmation(nsqd: Nsqd, ends: Ends) -> None:
    """23: a bad topic, an empty and an oversize body are refused before the wire; the next publish is confirmed."""
    engine = ends(open_nsq(nsqd.url))
    publish(engine)
    for act, error in (
        (lambda: publish(engine, topic="bad topic!"), InvalidNameError),
        (lambda: publish(engine, topic="ok\n"), InvalidNameError),
        (lambda: publish(engine, b""), Rejected),
        (lambda: publish(engine, b"x" * (1024 * 1024 + 1)), Rejected),
        (lambda: publish(engine, delay=-1.0), Rejected),
        (lambda: publish(engine, delay=4000.0), Rejected),
    ):
        with pytest.raises(error):
            act()
        publish(engine)
    assert depth(nsqd) == 7


def test_publishing_has_a_time_limit(ends: Ends) -> None:
    """25: a peer that shakes hands and never answers; and one that cannot be reached at all."""
    hanging = ends(ScriptedNsqd(lambda peer, socket: gevent.sleep(3600)))
    with hub_turns() as turns:
        with pytest.raises(OutcomeUnknown, match="not answered in time; publish the same event object again"):
            publish(ends(open_nsq(hanging.url)), timeout=0.7)
        assert sum(turns) > 0.6
        assert len(turns) < 1.5 / 0.005
        turns.clear()
        with pytest.raises(NotSent, match=r"no nsqd can be reached \(127\.0\.0\.1:\d+: ConnectionRefusedError"):
            publish(ends(open_nsq(f"nsq+direct://127.0.0.1:{free_port()}")), timeout=0.7)
        assert sum(turns) > 0.6
        assert len(turns) < 1.5 / 0.005


def test_a_refused_message_fails_only_its_own_publisher(ends: Ends) -> None:
    """26: nsqd's limit is lower than ours; 50 good messages share the flight with a bad one."""
    nsqd = ends(Nsqd("-max-msg-size=1000"))
    engine = ends(open_nsq(nsqd.url))
    publish(engine)
    outcomes: list[str] = []

    def send(number: int) -> None:
        try:
            publish(engine, b"x" * (2000 if number == 25 else 10))
            outcomes.append("confirmed")
        except Rejected as error:
            assert "E_BAD_MESSAGE" in str(error)
            outcomes.append("rejected")

    gevent.joinall([gevent.spawn(send, number) for number in range(51)], raise_error=True)
    assert sorted(outcomes) == ["confirmed"] * 50 + ["rejected"]
    assert depth(nsqd) >= 51


def test_what_was_behind_a_fatal_error_is_published_again_unseen(ends: Ends) -> None:
    """26: other topics' messages in the same flight."""
    nsqd = ends(Nsqd("-max-msg-size=1000"))
    engine = ends(open_nsq(nsqd.url))
    publish(engine)
    publishes = [gevent.spawn(publish, engine, b"y", topic=f"t{number}") for number in range(5)]
    bad = gevent.spawn(publish, engine, b"x" * 2000, topic="bad")
    publishes += [gevent.spawn(publish, engine, b"y", topic=f"u{number}") for number in range(5)]
    gevent.joinall(publishes, raise_error=True, timeout=PATIENCE)
    with pytest.raises(Rejected):
        bad.get(timeout=PATIENCE)
    assert all(depth(nsqd, f"{letter}{number}") >= 1 for letter in "tu" for number in range(5))


def test_failover_goes_unseen_where_nothing_was_lost(ends: Ends) -> None:
    """27: the nearest nsqd is gone; the next one takes over, and the nearest again once it is back."""
    near, far = ends(Nsqd()), ends(Nsqd())
    engine = ends(open_nsq(f"nsq+direct://{near.tcp},{far.tcp}?http={near.http},{far.http}&reconnect_ceiling=0.5"))
    publish(engine)
    assert (depth(near), depth(far)) == (1, 0)
    near.kill()
    for _ in range(20):
        publish(engine)
    assert depth(far) >= 19
    near.start()
    before = depth(far)

    def lands_near() -> bool:
        publish(engine)
        return depth(far) == before or depth(near) > 0

    eventually(lands_near)


def test_a_hanging_nsqd_is_left_within_the_time_limit(ends: Ends) -> None:
    near, far = ends(Nsqd()), ends(Nsqd())
    engine = ends(open_nsq(f"nsq+direct://{near.tcp},{far.tcp}?http={near.http},{far.http}"))
    publish(engine)
    near.freeze()
    publish(engine, timeout=20.0)
    assert depth(far) == 1
    near.thaw()


def test_an_unknown_outcome_is_told_apart_where_it_is_not_retried(ends: Ends) -> None:
    """The answer is lost after nsqd stored the message."""
    nsqd = ends(Nsqd())
    proxy = ends(Proxy(nsqd.tcp))
    engine = ends(open_nsq(f"{proxy.url}?retry_unknown=false&http={nsqd.http}"))
    publish(engine)
    proxy.cut_downstream_after = 3
    with pytest.raises(OutcomeUnknown, match="publish the same event object again"):
        publish(engine)
    assert depth(nsqd) == 2
    engine = ends(open_nsq(f"{proxy.url}?http={nsqd.http}"))
    publish(engine)
    proxy.cut_downstream_after = 3
    publish(engine)  # retried by default: at least once
    assert depth(nsqd) == 5


def test_a_frame_that_was_cut_is_published_whole_in_the_end(nsqd: Nsqd, make_bus: MakeBus, ends: Ends) -> None:
    """5: the connection dies in the middle of a frame."""
    proxy = ends(Proxy(nsqd.tcp))
    kind, seen = numbered(), Seen()
    bus = make_bus(proxy.url, query=f"http={nsqd.http}")
    consumer = make_bus(nsqd.url)
    service = listener(kind, seen)
    consumer.start(service)
    bus.publish(kind(number=0))
    for number in range(1, 6):
        proxy.cut_upstream_after = 150
        bus.publish(kind(number=number, text="x" * 1000))
    eventually(lambda: set(seen.numbers) == set(range(6)))
    assert consumer.dead_letters(kind, service).list() == []


def test_closing_waits_for_what_is_unanswered(nsqd: Nsqd) -> None:
    """28: publishes under way when the engine is closed are confirmed, and nothing hangs."""
    engine = open_nsq(nsqd.url)
    publish(engine)
    publishes = [gevent.spawn(publish, engine) for _ in range(200)]
    gevent.sleep(0)
    engine.close()
    gevent.joinall(publishes, timeout=PATIENCE, raise_error=True)
    assert depth(nsqd) == 201


def test_closing_ends_a_publish_that_waits_for_an_nsqd_at_once() -> None:
    engine = open_nsq(f"nsq+direct://127.0.0.1:{free_port()}")
    waiting = [gevent.spawn(publish, engine, timeout=10 * PATIENCE) for _ in range(3)]
    gevent.sleep(0.1)
    engine.close()
    gevent.joinall(waiting, timeout=PATIENCE)
    assert [str(each.exception) for each in waiting] == [
        "no nsqd can be reached (the bus was closed); publish again later"
    ] * 3


def test_concurrent_publishes_share_mpubs_and_a_lone_one_goes_at_once(ends: Ends) -> None:
    """29: 500 publishers cost a handful of commands."""
    commands: list[bytes] = []

    def answer(peer: ScriptedNsqd, socket: Any) -> None:
        while True:
            commands.append(peer.read_publish(socket).split()[0])
            socket.sendall(frame(0, b"OK"))

    peer = ends(ScriptedNsqd(answer))
    engine = ends(open_nsq(peer.url))
    publish(engine)
    assert commands == [b"PUB"]
    gevent.joinall([gevent.spawn(publish, engine) for _ in range(500)], raise_error=True)
    assert commands[0] == commands[1] == b"PUB"
    assert 1 <= commands.count(b"MPUB") <= 3
    assert len(commands) <= 5


def test_connecting_to_several_is_done_side_by_side(ends: Ends, nsqd: Nsqd) -> None:
    """30: two that never answer before one that does."""
    silent = [ends(ScriptedNsqd(identify=lambda socket: gevent.sleep(3600))) for _ in range(2)]
    addresses = ",".join(str(each.address) for each in silent)
    engine = ends(open_nsq(f"nsq+direct://{addresses},{nsqd.tcp}?connect_timeout=3600"))
    publish(engine)  # within its limit, and so before one of the others has used up its own


def test_pressure_reaches_the_publisher_when_the_network_stalls(ends: Ends) -> None:
    """Bounded pending bytes: publishers wait, memory does not grow, and none is lost once it flows again."""
    nsqd = ends(Nsqd())
    proxy = ends(Proxy(nsqd.tcp))
    engine = ends(open_nsq(f"{proxy.url}?max_pending_bytes=200000&http={nsqd.http}"))
    publish(engine)
    proxy.is_silent = True
    publishes = [gevent.spawn(publish, engine, b"x" * 10_000) for _ in range(200)]
    (link,) = engine._publisher._links.values()
    assert link.connection is not None
    eventually(lambda: link.connection.pending_bytes > 100_000)
    stays(lambda: 100_000 < link.connection.pending_bytes <= 300_000, 0.5)
    proxy.is_silent = False
    gevent.joinall(publishes, raise_error=True)
    assert depth(nsqd) == 201


def test_two_copies_go_to_two_nsqd(ends: Ends) -> None:
    one, two = ends(Nsqd()), ends(Nsqd())
    engine = ends(open_nsq(f"nsq+direct://{one.tcp},{two.tcp}?http={one.http},{two.http}&copies=2"))
    for _ in range(10):
        publish(engine)
    publish(engine, delay=60.0)
    assert depth(one) == depth(two) == 11  # a delayed one waits in the topic while there is no channel
    two.kill()
    with pytest.raises(EventBusError, match="copies"):
        publish(engine, timeout=1.0)


def test_an_event_too_large_is_refused_before_anything_is_sent(nsqd: Nsqd, make_bus: MakeBus) -> None:
    kind = numbered()
    bus = make_bus(nsqd.url, query="max_message_bytes=10000")
    with pytest.raises(MessageTooLargeError, match="the limit is 5,904"):
        bus.publish(kind(number=1, text="x" * 9000))
    assert nsqd.get("/stats", format="json")["topics"] == []


def test_publishing_finds_nsqd_through_nsqlookupd_where_none_is_given(ends: Ends, lookupd: Any) -> None:
    nsqd = ends(Nsqd(lookupds=(lookupd,)))
    engine = ends(open_nsq(f"nsq://{lookupd.http}"))
    eventually(lambda: engine.nodes())
    publish(engine)
    assert depth(nsqd) == 1


def test_a_batch_of_many_topics_and_numbers_is_confirmed_whole(nsqd: Nsqd, make_bus: MakeBus) -> None:
    kind, seen = numbered(), Seen()
    bus = make_bus(nsqd.url)
    bus.start(listener(kind, seen))
    publish_numbers(bus, kind, range(10_000))
    eventually(lambda: len(seen) == 10_000)
    assert sorted(seen.numbers) == list(range(10_000))
