"""How the simulator searches: in the order of the number of faults, the same each time, and no longer than it may."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest

from eventbus import Context, Event, Service
from eventbus.testing import SimulationError, SimulationFailedError, simulate
from eventbus.testing.simulation import World
from eventbus.testing.simulation.checks import (
    all_settled,
    dead_letters_explained,
    handled_once,
    no_phantom,
    nothing_lost,
    nothing_parked,
)
from tests.simulation.planted import cancel_before_place, no_idempotency
from tests.simulation.shop import A1, A2, NO_A1, Placed, Shop


class Told(Event, topic="told", version=1):
    order_id: str


def careful() -> Shop:
    """Ships each order once, whatever happens."""
    shop, service = Shop(), Service("fulfillment")

    @service.on(Placed)
    def ship(event: Placed, context: Context) -> Told:
        if event.order_id not in shop.shipped:
            shop.shipped.append(event.order_id)
        return Told(order_id=event.order_id)

    listener = Service("listener")

    @listener.on(Told)
    def listen(event: Told) -> None:
        """Nothing."""

    shop.services += [service, listener]
    return shop


def test_a_careful_handler_passes_all_of_two_faults_and_by_chance() -> None:
    checks = [Shop.ships_once, nothing_lost, no_phantom, all_settled, dead_letters_explained]
    tried = simulate(careful, [A1, A2], checks, faults=2, chances=50, deepest=4, seconds=120)
    assert tried.is_complete
    assert list(tried.schedules)[:3] == [0, 1, 2]
    assert tried.schedules[0] == 1
    assert tried.schedules[2] > tried.schedules[1] > 20
    assert tried.left_out > 0
    assert "schedules" in str(tried)


def test_the_same_schedule_fails_the_same_way_100_times() -> None:
    stories = set()
    for _ in range(100):
        with pytest.raises(SimulationFailedError) as failed:
            simulate(no_idempotency, [A1, A2], Shop.ships_once, only="dies-after:ship:2")
        stories.add(str(failed.value))
    assert len(stories) == 1


def test_another_process_finds_the_same() -> None:
    program = (
        "from tests.simulation.planted import *\n"
        "from tests.simulation.shop import *\n"
        "from eventbus.testing import simulate\n"
        "try: simulate(cancel_before_place, [A1, NO_A1, A2], Shop.ships_nothing, faults=2)\n"
        "except AssertionError as error: print(error)"
    )
    told = {
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60).stdout
        for _ in range(2)
    }
    assert len(told) == 1
    assert "shipped though cancelled" in told.pop()


def test_events_that_the_fault_does_not_need_are_left_out_of_the_story() -> None:
    others = [Placed(order_id=f"B{number}") for number in range(4)]
    with pytest.raises(SimulationFailedError) as failed:
        simulate(no_idempotency, [*others, A1], Shop.ships_once, faults=1)
    assert "fails with 1 of the 5 events already" in str(failed.value)
    assert str(failed.value).count("is published") == 1


def test_what_was_not_tried_in_time_is_told() -> None:
    began = time.monotonic()
    tried = simulate(careful, [A1, A2, NO_A1], faults=3, seconds=0.5)
    assert not tried.is_complete
    assert time.monotonic() - began < 10
    assert "time was up" in str(tried)


def test_a_check_after_each_step_sees_what_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    def never_two(shop: Shop) -> None:
        assert len(shop.shipped) < 2, "two at a time"

    with pytest.raises(SimulationFailedError, match="never_two: two at a time"):
        simulate(careful, [A1, A2], each_step=never_two, faults=0)
    monkeypatch.setenv("EVENTBUS_SIMULATE_SECONDS", "0.2")
    assert not simulate(careful, [A1, A2], faults=3, seconds=600).is_complete


def test_a_check_may_look_at_the_world() -> None:
    seen: list[Any] = []

    def look(shop: Shop, world: World) -> None:
        seen.append((len(world.services), world.dead_letters(), len(world.conductor.published)))

    simulate(careful, [A1], look, faults=0)
    assert (2, [], 2) in seen


def test_lost_without_an_outbox_where_the_user_asks_for_it() -> None:
    assert simulate(careful, [A1], nothing_lost, faults=1).is_complete
    with pytest.raises(SimulationFailedError, match="forgets a message"):
        simulate(careful, [A1], nothing_lost, faults=1, losses=True)


def test_ready_checks_find_what_they_are_for() -> None:
    def parks() -> Service:
        service = Service("fulfillment")

        @service.on(Placed)
        def ship(event: Placed) -> None:
            raise ValueError("no")

        return service

    for check in (nothing_parked, dead_letters_explained):
        with pytest.raises(SimulationFailedError, match="parked: Placed of fulfillment: attempts used up"):
            simulate(parks, [A1], check, faults=0)
    with pytest.raises(SimulationFailedError, match="2 effects"):
        simulate(careful, [A1], handled_once, faults=1)


def test_a_function_among_the_events_acts() -> None:
    def ship_by_hand(shop: Shop) -> None:
        shop.shipped.append("A1")

    with pytest.raises(SimulationFailedError, match="ship by hand"):
        simulate(no_idempotency, [A1, ship_by_hand], Shop.ships_once, faults=0)


def test_what_one_schedule_keeps_for_the_next_is_noticed() -> None:
    kept: list[str] = []

    def forgetful() -> Service:
        service = Service("fulfillment")

        @service.on(Placed)
        def ship(event: Placed) -> Told | None:
            kept.append(event.order_id)
            return Told(order_id="first") if len(kept) == 1 else None

        return service

    with pytest.raises(SimulationError, match="differ"):
        simulate(forgetful, [A1], faults=1)
    assert cancel_before_place().services
