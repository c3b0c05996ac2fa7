"""The entrance: `simulate` finds the shortest way in which handlers break."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from eventbus.errors import ConfigurationError
from eventbus.event import Event
from eventbus.testing.simulation.faults import read_schedule
from eventbus.testing.simulation.judging import Check, Judge
from eventbus.testing.simulation.older import OlderVersions
from eventbus.testing.simulation.search import Search, Searching, Simulation
from eventbus.testing.simulation.watchdog import Watchdog
from eventbus.testing.simulation.world import LONGEST, Input

SECONDS = "EVENTBUS_SIMULATE_SECONDS"
"""Variable with the longest time of each simulation, in seconds; pytest's option --simulate-seconds sets it."""


def simulate(
    build: Callable[[], Any],
    events: Sequence[Input],
    check: Check | Sequence[Check] = (),
    *,
    faults: int = 2,
    seconds: float = 30.0,
    only: str | None = None,
    each_step: Check | Sequence[Check] = (),
    chances: int = 0,
    deepest: int | None = None,
    seed: int = 0,
    losses: bool = False,
    contracts: str | Path | None = None,
) -> Simulation:
    """Try all that can go wrong on the way of events through services: first all schedules with one fault, then with two.

    Args:
        build: returns services that nobody has used, and what the check needs: a service, several, `(services, shop)`, or an
            object with `services`. A function in a service's place returns it, and is called again when its process died.
        events: what is published, in this order; a function among them is called with what the check is given.
        check: one or several, called at the end of each schedule with what `build` gave for it; raises AssertionError, or
            returns False, where something is wrong. One with a second parameter gets the `World` too.
        faults: most in one schedule.
        seconds: longest real time; what was not tried by then is told in the result. EVENTBUS_SIMULATE_SECONDS replaces it.
        only: name of one schedule, as a story ends with.
        each_step: as `check`, called after each step.
        chances: so many schedules by chance, after all others.
        deepest: most faults in one of these; `faults` unless given.
        seed: of ids, of the jitter of retries and of what is left to chance.
        contracts: folder, wheel or address of published contracts: events come in an older version of theirs too.
        losses: whether the broker may also forget events that no outbox sends again.

    Returns:
        How many schedules there were, and how many could be left out.

    Raises:
        SimulationFailedError: an AssertionError whose text is the story of a shortest schedule in which a check fails.
        SimulationError: services or check cannot be simulated; says why.
        ConfigurationError, ContractError: an argument is wrong.
    """
    if not callable(build):
        raise ConfigurationError("simulate(build, ...): give a function that builds the services anew for each schedule")
    inputs = [events] if isinstance(events, Event) or callable(events) else list(events)
    wrong = next((each for each in inputs if not (isinstance(each, Event) or callable(each))), None)
    if not inputs or wrong is not None:
        raise ConfigurationError(f"simulate(events=...): give events or functions, one at least; not {wrong!r}")
    if faults < 0 or chances < 0 or not seconds > 0:
        raise ConfigurationError(f"simulate({faults=}, {chances=}, {seconds=}): give 0 or more, and seconds above 0")
    judge = Judge(_listed(check), _listed(each_step))
    older = OlderVersions(contracts)
    with Watchdog(LONGEST) as watchdog:
        searching = Searching(build, inputs, judge, seed, losses, older, watchdog)
        longest = float(os.environ.get(SECONDS) or seconds)
        depth = faults if deepest is None else deepest
        search = Search(searching, faults=faults, chances=chances, deepest=depth, seconds=longest)
        return search.run() if only is None else search.one(read_schedule(only))


def _listed(checks: Check | Sequence[Check]) -> list[Check]:
    return [checks] if callable(checks) else list(checks)
