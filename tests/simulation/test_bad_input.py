"""What cannot be simulated is told in one line, with what to do, and never hangs."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
import pytest

from eventbus import ConfigurationError, Event, Service
from eventbus.testing import SimulationError, simulate


class Placed(Event, topic="placed", version=1):
    order_id: str
    number: int = 0


A1 = Placed(order_id="A1")


def one(handle: Callable[[Placed], Any]) -> Callable[[], Service]:
    """A build with one service, whose handler is this."""

    def build() -> Service:
        service = Service("fulfillment")

        @service.on(Placed)
        def ship(event: Placed) -> Any:
            return handle(event)

        return service

    return build


def waits_in_a_loop(event: Placed) -> None:
    while True:
        pass


def reaches_the_network(event: Placed) -> None:
    with socket.socket() as made:
        made.connect(("127.0.0.1", 9))


CASES: list[tuple[str, Callable[[Placed], Any], str]] = [
    ("sleeps", lambda event: time.sleep(3), "time.sleep(3)"),
    ("sleeps with gevent", lambda event: gevent.sleep(3), "gevent.sleep(3)"),
    ("reaches the network", reaches_the_network, "connects to"),
    ("waits for ever", lambda event: gevent.event.Event().wait(), "still runs after 5 s"),
    ("loops for ever", waits_in_a_loop, "computes for ever at test_bad_input.py"),
    ("publishes for ever", lambda event: Placed(order_id="A1", number=event.number + 1), "publishes for ever"),
    ("draws", lambda event: Placed(order_id=str(random.random())) if event.order_id == "A1" else None, "differ"),
]


@pytest.mark.parametrize(("name", "handle", "said"), CASES, ids=[case[0] for case in CASES])
def test_a_handler_that_leaves_the_simulation(name: str, handle: Callable[[Placed], Any], said: str) -> None:
    began = time.monotonic()
    with pytest.raises(SimulationError) as error:
        simulate(one(handle), [A1], faults=1, seconds=20)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert "fulfillment" in str(error.value) or name == "draws"
    assert time.monotonic() - began < 40


SHARED = Service("shared")


@SHARED.on(Placed)
def ship_shared(event: Placed) -> None:
    """Nothing."""


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: SHARED, "a second time"),
        (lambda: None, "build returned NoneType"),
        (lambda: [], "no service"),
        (lambda: ["fulfillment"], "something else than services"),
        (lambda: [lambda: 7], "no Service"),
    ],
)
def test_a_build_that_gives_no_fresh_services(build: Callable[[], Any], said: str) -> None:
    with pytest.raises(SimulationError, match=said) as error:
        simulate(build, [A1], faults=1)
    assert "\n" not in str(error.value)


def test_a_check_that_fails_otherwise_names_its_place() -> None:
    with pytest.raises(SimulationError, match=r"raised KeyError: .*test_bad_input.py:\d+"):
        simulate(one(lambda event: None), [A1], check=lambda shop: dict[str, str]()["missing"])


@pytest.mark.parametrize(
    "arguments",
    [
        {"events": []},
        {"events": ["A1"]},
        {"faults": -1},
        {"seconds": 0},
        {"only": "dies:ship"},
        {"only": "dies-after:ship:x"},
    ],
)
def test_a_wrong_argument(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="simulate|only"):
        simulate(**{"build": one(lambda event: None), "events": [A1], **arguments})


def test_a_schedule_that_is_not_there_any_more_is_told() -> None:
    with pytest.raises(SimulationError, match="does not come to that"):
        simulate(one(lambda event: None), [A1], only="dies-after:gone:1")


def test_after_all_of_it_the_process_is_as_it_was() -> None:
    before = (time.sleep, gevent.sleep, socket.socket.connect)
    simulate(one(lambda event: None), [A1], faults=1)
    assert (time.sleep, gevent.sleep, socket.socket.connect) == before
