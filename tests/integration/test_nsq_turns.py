"""Publishers that share answers go on in turn: killed, thrown out, late, raising or of another hub, none harms another."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import gevent
import greenlet
import pytest
from gevent.hub import get_hub
from gevent.threadpool import ThreadPool

from eventbus import OutcomeUnknown, Rejected
from eventbus.engines.nsq.engine import NsqEngine, open_nsq
from eventbus.engines.nsq.outgoing import parcels
from eventbus.engines.nsq.turns import Turns, Waiter
from tests.nsqd import Nsqd
from tests.peers import ScriptedNsqd
from tests.waiting import PATIENCE, eventually

Ends = Callable[[Any], Any]
_EACH, _PUBLISHERS = 20, 300


def messages(nsqd: Nsqd, topic: str = "t") -> int:
    return sum(each["message_count"] for each in nsqd.get("/stats", format="json")["topics"] if each["topic_name"] == topic)


def publish(engine: NsqEngine, body: bytes = b"x", timeout: float = PATIENCE) -> None:
    engine.publish("t", body, delay=0.0, timeout=timeout)


def test_publishers_that_are_killed_or_thrown_out_leave_the_others_alone(nsqd: Nsqd, ends: Ends) -> None:
    """At whatever point they are met: waiting, answered but not yet on, or just switched to."""
    engine = ends(open_nsq(nsqd.url))
    publish(engine)
    confirmed = 0

    class ThrownOut(BaseException):
        pass

    def run() -> None:
        nonlocal confirmed
        for _ in range(_EACH):
            try:
                publish(engine)
            except ThrownOut:
                gevent.sleep(0)  # a switch that was meant for the publish would end this too early, and harm nobody
            else:
                confirmed += 1

    publishers = [gevent.spawn(run) for _ in range(_PUBLISHERS)]
    loop = get_hub().loop
    round_ = 0
    while not all(each.dead for each in publishers[1::3]):
        round_ += 1
        for place, each in enumerate(publishers):
            if (place + round_) % 37 == 0 and not each.dead:
                if place % 3 == 0:
                    each.kill(block=False)
                elif place % 3 == 2:
                    loop.run_callback(lambda each=each: each.dead or each.throw(ThrownOut()))
        gevent.sleep(0)
    gevent.joinall(publishers, timeout=PATIENCE)
    assert all(each.dead for each in publishers)
    untouched = publishers[1::3]
    assert all(each.exception is None for each in untouched)
    assert confirmed >= _EACH * len(untouched)
    eventually(lambda: messages(nsqd) >= confirmed)
    publish(engine)


def test_a_timeout_around_a_publish_goes_off_in_it(nsqd: Nsqd, ends: Ends) -> None:
    """Many of them, shorter and longer than an answer takes: afterwards each still waits for its own things alone."""
    engine = ends(open_nsq(nsqd.url))
    publish(engine)

    def run(number: int) -> None:
        for turn in range(_EACH):
            with gevent.Timeout((number * turn % 40) / 20_000, False):
                publish(engine)
            event = gevent.event.Event()
            assert not event.wait(0.0005)  # nobody else ends this wait

    gevent.joinall([gevent.spawn(run, number) for number in range(100)], raise_error=True)


def test_one_that_is_late_is_told_and_others_are_not(ends: Ends) -> None:
    hanging = ends(ScriptedNsqd(lambda peer, socket: gevent.sleep(3600)))
    engine = ends(open_nsq(hanging.url))
    patient = [gevent.spawn(publish, engine, timeout=30.0) for _ in range(3)]
    with pytest.raises(OutcomeUnknown, match="not answered in time"):
        publish(engine, timeout=0.7)
    assert not any(each.ready() for each in patient)
    gevent.killall(patient)


def test_each_hub_has_turns_of_its_own(nsqd: Nsqd) -> None:
    """Two threads publish through engines of their own at the same time."""

    def run() -> int:
        engine = open_nsq(nsqd.url)
        try:
            sends = [gevent.spawn(publish, engine) for _ in range(500)]
            gevent.joinall(sends, raise_error=True)
            return len(sends)
        finally:
            engine.close()

    pool = ThreadPool(2)
    assert [each.get(timeout=PATIENCE) for each in [pool.spawn(run), pool.spawn(run)]] == [500, 500]
    pool.kill()
    assert messages(nsqd) == 1000


def test_one_that_raises_takes_nobody_with_it_and_the_hub_has_its_turn() -> None:
    """Raw greenlets end in the hub with what they raise; the others still go on, and callbacks come between them."""
    turns = Turns()
    went_on: list[int] = []
    between: list[int] = []
    raised: list[type[BaseException]] = []
    hub = get_hub()
    before = hub.handle_error
    hub.handle_error = lambda context, kind, value, trace: raised.append(kind)
    try:
        waiters: list[Waiter] = []

        def run(number: int) -> None:
            waiter = Waiter(0.0)
            waiters.append(waiter)
            turns.wait(waiter)
            went_on.append(number)
            if number % 10 == 0:
                raise ValueError(number)
            again = Waiter(0.0)
            waiters.append(again)
            turns.wait(again)

        runs = [greenlet.greenlet(run, hub) for _ in range(200)]
        for number, each in enumerate(runs):
            hub.loop.run_callback(each.switch, number)
        eventually(lambda: len(waiters) == 200)
        hub.loop.run_callback(lambda: between.append(len(went_on)))
        turns.come(list(waiters))
        hub.loop.run_callback(lambda: between.append(len(went_on)))
        eventually(lambda: len(went_on) == 200)
        assert went_on == list(range(200))
        assert 0 < between[1] < 200
        assert raised == [ValueError] * 20
        turns.come(waiters)  # those of before are passed over
        eventually(lambda: all(each.dead for each in runs))
    finally:
        hub.handle_error = before
        gc.collect()


@pytest.mark.parametrize("count", [0, 1, 2, 999, 1000, 1001, 3500])
@pytest.mark.parametrize("most", [100, 5_000, 262_144])
def test_parcels_hold_all_in_order_within_their_bytes(count: int, most: int) -> None:
    bodies = [b"%d" % number * (number % 90 + 1) for number in range(count)]
    made = list(parcels(bodies, most))
    assert [body for parcel in made for body in parcel.bodies] == bodies
    assert all(len(parcel.bodies) == 1 or sum(len(body) + 4 for body in parcel.bodies) <= most for parcel in made)
    assert all(0 < len(parcel.bodies) <= 1000 for parcel in made)


def test_of_a_parcel_only_the_guilty_message_is_refused(ends: Ends) -> None:
    """nsqd's limit is lower than ours; the others are stored, and a parcel of good ones after it too."""
    nsqd = ends(Nsqd("-max-msg-size=1000"))
    engine = ends(open_nsq(nsqd.url))
    publish(engine)
    with pytest.raises(Rejected, match="E_BAD_MESSAGE"):
        engine.publish_many("t", [b"x" * 10, b"x" * 2000, b"y" * 10], timeout=PATIENCE)
    assert messages(nsqd) >= 2
    before = messages(nsqd)
    engine.publish_many("t", [b"x" * 10] * 3000, timeout=PATIENCE)
    assert messages(nsqd) == before + 3000
