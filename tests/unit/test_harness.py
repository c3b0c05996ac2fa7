"""The testing kit: virtual time, complete records, faults on request."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import gevent
import pytest

from eventbus import Backoff, Event, Outcome, Reject, Retry, RetryLater, Service
from eventbus.errors import ConfigurationError
from eventbus.settings import BusSettings
from eventbus.testing import HandlerFailedError, Harness, NotSettledError, VirtualClock
from tests.waiting import PATIENCE, eventually


class Placed(Event, topic="placed"):
    number: int


class Shipped(Event, topic="shipped"):
    number: int


def shop(**policy: object) -> Service:
    service = Service("shop")

    @service.on(Placed, **policy)  # type: ignore[call-overload,untyped-decorator]
    def ship(event: Placed) -> Shipped:
        return Shipped(number=event.number)

    return service


def test_what_was_published_and_handled_is_recorded_whole() -> None:
    with Harness(shop()) as harness:
        harness.publish(Placed(number=1))
        harness.settle()
        assert harness.published(Shipped) == [Shipped(number=1)]
        assert harness.published_types() == ["Placed", "Shipped"]
        assert harness.handled(Placed, by="shop") == [Placed(number=1)]
        assert harness.handled(Placed, by="other") == []
        assert harness.envelopes()[1].causation_id == harness.envelopes()[0].id


def test_a_retry_after_five_minutes_costs_no_time() -> None:
    service = Service("shop")
    attempts: list[int] = []

    @service.on(Placed, retry=Retry(first=300, ceiling=300, jitter=False))
    def ship(event: Placed) -> None:
        attempts.append(event.number)
        if len(attempts) < 3:
            raise RetryLater(after=86_400) if len(attempts) == 1 else ValueError("later")

    began = time.monotonic()
    with Harness(service) as harness:
        harness.publish(Placed(number=1), delay=7 * 86_400)
        with harness.expecting(ValueError):
            harness.settle()
        assert len(attempts) == 3
        assert harness.clock.monotonic() >= 8 * 86_400 + 300
        assert harness.clock.monotonic() > 1000 * (time.monotonic() - began)


def test_time_passes_as_far_as_asked() -> None:
    with Harness(shop()) as harness:
        harness.publish(Placed(number=1), delay=10)
        harness.advance(9.5)
        assert not harness.published(Shipped)
        harness.advance(1)
        assert harness.published(Shipped)


def test_a_handlers_exception_surfaces_unless_it_is_expected() -> None:
    service = Service("shop")

    @service.on(Placed, retry=Retry(attempts=1))
    def ship(event: Placed) -> None:
        raise ValueError("broken")

    with Harness(service) as harness:
        harness.publish(Placed(number=1))
        with pytest.raises(HandlerFailedError, match=r"shop failed on Placed .*broken"):
            harness.settle()
        harness.publish(Placed(number=2))
        with harness.expecting(ValueError):
            harness.settle()
        assert [letter.error for letter in harness.dead_letters(service)] == ["ValueError: broken"] * 2
    with pytest.raises(HandlerFailedError), Harness(service.replica()) as harness:
        harness.publish(Placed(number=3))
        eventually(lambda: harness.dead_letters("shop"))


def test_reject_is_a_verdict_and_no_failure() -> None:
    service = Service("shop")

    @service.on(Placed)
    def ship(event: Placed) -> None:
        raise Reject("unknown")

    with Harness(service) as harness:
        harness.publish(Placed(number=1))
        harness.settle()
        assert harness.dead_letters("shop")[0].reason == "rejected: unknown"
        assert harness.dead_letters("other") == []
        assert harness.outcomes(Outcome.PARKED, by=service) == 1


def test_faults_on_request() -> None:
    with Harness(shop()) as harness:
        harness.fail_next(1, event_type=Placed, by="shop")
        harness.fail_next(1, event_type=Placed, by="shop", error=TimeoutError("of the test"))
        harness.duplicate_next()
        harness.publish(Placed(number=1))
        harness.settle()
        assert harness.outcomes(Outcome.RETRIED) == 2
        assert harness.published(Shipped) == [Shipped(number=1)] * 2
        with harness.reordering(seed=3):
            for number in range(20):
                harness.publish(Placed(number=number))
        harness.settle()
        handled = [event.number for event in harness.handled(Placed)][2:]
        assert sorted(handled) == list(range(20))
        assert handled != sorted(handled)


def test_a_handler_that_never_ends_is_named() -> None:
    service = Service("shop")
    release = gevent.event.Event()

    @service.on(Placed)
    def ship(event: Placed) -> None:
        release.wait()

    with Harness(service) as harness:
        harness.publish(Placed(number=1))
        with pytest.raises(NotSettledError, match="placed/shop"):
            harness.settle(timeout=0.1)
        release.set()


def test_what_never_ends_is_named_with_both_causes() -> None:
    service = Service("shop")

    @service.on(Placed, retry=Retry(attempts=60_000))
    def ship(event: Placed) -> None:
        raise RetryLater(after=3600.0)

    with Harness(service) as harness:
        harness.publish(Placed(number=1))
        with pytest.raises(
            NotSettledError, match=r"0\.3 s are over.*virtual time passed.*postponed: Placed .* in shop"
        ) as caught:
            harness.settle(timeout=0.3)
        assert "advance(seconds)" in str(caught.value)
        assert "a longer timeout=" in str(caught.value)


def test_the_virtual_clock_runs_calls_in_order_and_skips_cancelled_ones() -> None:
    clock, calls = VirtualClock(), []
    clock.call_later(2, lambda: calls.append("two"))
    clock.call_later(1, lambda: calls.append("one"))
    clock.call_later(3, lambda: calls.append("never")).cancel()
    clock.call_later(0.5, lambda: calls.append("housekeeping"), is_housekeeping=True)
    assert clock.advance_to_next()
    assert calls == ["housekeeping", "one"]
    assert clock.advance_to_next()
    assert not clock.advance_to_next()
    assert clock.time() - VirtualClock().time() == 2


def test_what_services_hold_is_touched_in_virtual_time() -> None:
    service = Service("shop", backoff=Backoff(after=5, first=30.0, ceiling=600.0))

    @service.on(Placed, retry=Retry(attempts=8, first=1.0, ceiling=300.0), concurrency=4)
    def ship(event: Placed) -> None:
        raise OSError("always")

    settings = BusSettings(message_timeout=60.0)
    with Harness(service, settings=settings) as harness, harness.expecting(OSError):
        for number in range(50):
            harness.publish(Placed(number=number))
        harness.settle(timeout=PATIENCE)
        letters = harness.dead_letters()
        channel = harness.engine.stats()["placed"].channels["shop"]
        assert len(letters) == len({letter.id for letter in letters}) == 50
        assert {letter.attempts for letter in letters} == {8}
        assert channel.timed_out == 0


def test_a_worker_that_lets_others_run_keeps_time_from_passing() -> None:
    service, numbers = Service("shop"), []

    @service.on(Placed)
    def ship(event: Placed) -> None:
        numbers.append(event.number)

    with Harness(service) as harness:
        harness.publish(Placed(number=1), delay=20 * 86_400.0)  # goes round once an hour
        harness.advance(21 * 86_400.0, timeout=PATIENCE)
        assert numbers == [1]
        assert harness.engine.stats()["placed"].channels["shop"].timed_out == 0


def test_the_plugin_gives_a_harness(harness: Harness) -> None:
    harness.start(shop())
    harness.publish(Placed(number=1))
    harness.settle()
    assert harness.published(Shipped)


_REPEATED = """
from eventbus import Event, Retry, Service
from eventbus.testing import Harness

class Asked(Event, topic="asked"):
    number: int

class Answered(Event, topic="answered"):
    number: int

service, order = Service("answers"), []

@service.on(Asked, retry=Retry(attempts=4, first=60.0))
def answer(asked: Asked, context) -> Answered:
    order.append(asked.number)
    if context.attempt < 3:
        raise OSError("again")
    return Answered(number=asked.number)

with Harness(service, seed=SEED) as harness, harness.expecting(OSError):
    with harness.reordering():
        for number in range(8):
            harness.publish(Asked(number=number))
    harness.settle()
    print(order, [each.id for each in harness.envelopes()])
"""


def _run_of(seed: int, hashes: int) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": str(hashes)}
    program = _REPEATED.replace("SEED", str(seed))
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_a_seed_gives_the_same_order_of_retries_and_the_same_ids() -> None:
    first = _run_of(7, hashes=1)
    assert first == _run_of(7, hashes=2)
    assert first != _run_of(8, hashes=1)


def test_the_seed_is_told_when_a_test_fails(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "from eventbus.testing import Harness\n"
        "def test_own():\n    with Harness():\n        assert False\n"
        "def test_fixture(harness):\n    assert False\n"
        "def test_none():\n    assert False\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)]
    environment = {**os.environ, "EVENTBUS_SEED": "123456"}
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False).stdout
    assert "3 failed" in told
    assert told.count("EVENTBUS_SEED=123456") == 2


def test_a_seed_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTBUS_SEED", "seven")
    with pytest.raises(ConfigurationError, match="EVENTBUS_SEED='seven'"):
        Harness()
