"""The services of the scenario, as they are: whatever goes wrong once, an order is shipped once and its customer is told.

`make simulate` tries two faults in one schedule, and schedules by chance for several orders.
"""

from __future__ import annotations

from eventbus.testing import simulate
from eventbus.testing.simulation.checks import all_settled, no_phantom, nothing_parked
from tests.simulation.scenario import Scenario, build

CHECKS = [Scenario.all_is_well, nothing_parked, no_phantom, all_settled]


def test_one_order_and_one_fault() -> None:
    tried = simulate(build, [Scenario.place_an_order], CHECKS, faults=1, seconds=300)
    assert tried.is_complete
    assert tried.schedules[1] > 60
