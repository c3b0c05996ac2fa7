"""The long search: `python -m tests.simulation --seconds 1800 --orders 5 --chances 100000`. What it finds ends it."""

from __future__ import annotations

import argparse
import sys

from eventbus.testing import SimulationFailedError, simulate
from tests.simulation.scenario import Scenario, build
from tests.simulation.test_scenario import CHECKS


def main() -> int:
    """Try two faults for one order, then chances for several."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0, help="for each of the two parts")
    parser.add_argument("--faults", type=int, default=2, help="most in one schedule")
    parser.add_argument("--orders", type=int, default=5, help="in the second part")
    parser.add_argument("--chances", type=int, default=100_000, help="schedules by chance in the second part")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    try:
        one = simulate(build, [Scenario.place_an_order], CHECKS, faults=given.faults, seconds=given.seconds, seed=given.seed)
        print(f"one order: {one}")
        several = simulate(
            build,
            [Scenario.place_an_order] * given.orders,
            CHECKS,
            faults=0,
            chances=given.chances,
            deepest=3,
            seconds=given.seconds,
            seed=given.seed,
        )
        print(f"{given.orders} orders: {several}")
    except SimulationFailedError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
