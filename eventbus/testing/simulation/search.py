"""Search: all schedules with one fault, then all with two, so that the first that fails is a shortest one.

Each run tells where something could have gone wrong after its last fault; with one of these added it is a schedule of the
next round. A run that went exactly as one before it leads nowhere new, and is not gone on with.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from eventbus.testing.simulation.errors import SimulationError, SimulationFailedError
from eventbus.testing.simulation.faults import Fault, Schedule, name_of
from eventbus.testing.simulation.judging import Judge, Verdict
from eventbus.testing.simulation.older import OlderVersions
from eventbus.testing.simulation.story import written
from eventbus.testing.simulation.watchdog import Watchdog
from eventbus.testing.simulation.world import Input, World

_PROGRESS = 1.0
"""Seconds between two lines of progress."""


@dataclass(slots=True)
class Simulation:
    """What was tried.

    Attributes:
        schedules: how many were run, by their number of faults.
        left_out: orders of deliveries that share neither service nor database, and runs that went as one before.
        is_complete: whether all schedules of up to the given number of faults were tried, and all random ones.
        seconds: how long it took.
    """

    schedules: dict[int, int] = field(default_factory=dict)
    left_out: int = 0
    is_complete: bool = True
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """Schedules that were run."""
        return sum(self.schedules.values())

    def __str__(self) -> str:
        by = ", ".join(
            f"{count:,} with {faults} fault{'' if faults == 1 else 's'}" for faults, count in self.schedules.items()
        )
        end = "" if self.is_complete else "; time was up before all were tried"
        return f"{self.total:,} schedules ({by}), {self.left_out:,} left out, in {self.seconds:.1f} s{end}"


@dataclass(frozen=True, slots=True)
class Searching:
    """What is simulated; see `simulate`."""

    build: Callable[[], Any]
    inputs: Sequence[Input]
    judge: Judge
    seed: int
    loses: bool
    older: OlderVersions
    watchdog: Watchdog

    def run(self, schedule: Schedule, inputs: Sequence[Input] | None = None) -> tuple[World, Verdict | None]:
        """Run one schedule; return the world as it ended, and what its check found, if anything."""
        found: list[Verdict] = []

        def judge(world: World) -> None:
            found.extend(self.judge.at_end(world))

        def look(world: World) -> None:
            found.extend(self.judge.at_step(world))

        world = World(
            self.build,
            self.inputs if inputs is None else inputs,
            schedule,
            seed=self.seed,
            loses=self.loses,
            older=self.older,
            watchdog=self.watchdog,
            each_step=look if self.judge.has_steps else None,
        )
        try:
            world.run(judge)
        except SimulationError as error:
            if schedule and "only=" not in str(error):
                raise SimulationError(f"{error} (only={name_of(schedule)!r})") from error
            raise
        return world, found[0] if found else None


class Search:
    """Runs schedules until one fails, all are done or the time is up.

    Args:
        faults: most faults in one schedule.
        chances: so many random schedules after all of these, with up to `deepest` faults each.
        seconds: of real time.
    """

    def __init__(self, searching: Searching, *, faults: int, chances: int, deepest: int, seconds: float) -> None:
        self._searching = searching
        self._faults = faults
        self._chances = chances
        self._deepest = deepest
        self._seconds = seconds
        self._began = self._told = time.monotonic()
        self.result = Simulation()
        self._seen: set[int] = set()
        self._known = 1
        self._first: list[Fault] = []
        """What can go wrong where nothing has."""

    def run(self) -> Simulation:
        """Search.

        Raises:
            SimulationFailedError: a schedule fails.
            SimulationError: nothing can be searched.
        """
        self._check_sameness()
        level: deque[Schedule] = deque([()])
        for faults in range(self._faults + 1):
            following: deque[Schedule] = deque()
            while level:
                if faults and self._is_over():
                    return self._ended(is_complete=False)
                schedule = level.popleft()
                grown = self._try(schedule)
                if faults < self._faults:
                    following.extend(grown)
                    self._known += len(grown)
            level = following
        for number in range(self._chances):
            if self._is_over():
                return self._ended(is_complete=False)
            self._try_by_chance(number)
        return self._ended(is_complete=True)

    def one(self, schedule: Schedule) -> Simulation:
        """Run this schedule alone; raises as `run`."""
        world, verdict = self._searching.run(schedule)
        if not world.is_whole:
            raise SimulationError(f"only={name_of(schedule)!r}: it does not come to that; have the services changed since?")
        self.result.schedules[len(schedule)] = 1
        if verdict is not None:
            self._fail(schedule, world, verdict, self._searching.inputs)
        return self._ended(is_complete=True)

    def _ended(self, *, is_complete: bool) -> Simulation:
        self.result.is_complete = is_complete
        self.result.seconds = time.monotonic() - self._began
        return self.result

    def _is_over(self) -> bool:
        now = time.monotonic()
        if now - self._told > _PROGRESS and sys.stderr.isatty():
            self._told = now
            sys.stderr.write(f"\rsimulate: {self.result.total:,} of {self._known:,} schedules")
        return now - self._began > self._seconds

    def _check_sameness(self) -> None:
        """Run what goes well twice: handlers that draw, or look at a clock of their own, are told so."""
        one, other = (self._searching.run(())[0] for _ in range(2))
        told = difference(one.conductor.digest, other.conductor.digest)
        if told:
            raise SimulationError(
                f"two runs of the same schedule differ: {told}. A handler draws at random, looks at a clock or keeps "
                "something from the run before; give it its randomness and time, and have build return everything anew"
            )

    def _count(self, schedule: Schedule, world: World) -> None:
        faults = len(schedule)
        self.result.schedules[faults] = self.result.schedules.get(faults, 0) + 1
        self.result.left_out += world.left_out

    def _try(self, schedule: Schedule) -> Sequence[Schedule]:
        """Run a schedule; return those that have one fault more."""
        world, verdict = self._searching.run(schedule)
        if not world.is_whole:
            self.result.left_out += 1
            return ()
        self._count(schedule, world)
        if verdict is not None:
            self._fail(schedule, world, verdict, self._searching.inputs)
        mark = hash(repr(world.conductor.digest)) if schedule else 0
        if mark in self._seen:
            self.result.left_out += 1
            return ()
        self._seen.add(mark)
        if not schedule:
            self._first = world.next_faults()
        return [(*schedule, fault) for fault in world.next_faults()]

    def _try_by_chance(self, number: int) -> None:
        """Go one way from no fault to several, and run each schedule on it but the first."""
        draw = Random(f"{self._searching.seed}:{number}")
        following = self._first
        schedule: Schedule = ()
        for _ in range(draw.randint(1, max(self._deepest, 1))):
            if not following:
                return
            schedule = (*schedule, draw.choice(following))
            world, verdict = self._searching.run(schedule)
            if not world.is_whole:
                self.result.left_out += 1
                return
            self._count(schedule, world)
            if verdict is not None:
                self._fail(schedule, world, verdict, self._searching.inputs)
            following = world.next_faults()

    # -- what was found ---------------------------------------------------------------------------------------------

    def _fail(self, schedule: Schedule, world: World, verdict: Verdict, inputs: Sequence[Input]) -> None:
        again, second = self._searching.run(schedule)
        told = difference(world.conductor.digest, again.conductor.digest)
        if told or second is None or second.text != verdict.text:
            raise SimulationError(
                f"the schedule {name_of(schedule)} fails once ({verdict.text}) and runs otherwise the next time"
                f"{f': {told}' if told else ''}; is something random in a handler, or kept between two builds?"
            )
        schedule, world, verdict, inputs = self._shrunk(schedule, world, verdict, inputs)
        name = name_of(schedule)
        faults = f"{len(schedule)} fault{'' if len(schedule) == 1 else 's'}"
        head = f"{verdict.text}    schedule {self.result.total:,} of {max(self._known, self.result.total):,}, {faults}"
        fewer = len(self._searching.inputs) - len(inputs)
        note = f"\nfails with {len(inputs)} of the {len(self._searching.inputs)} events already: these" if fewer else ""
        story = f"{head}\n{written(world.conductor.steps)}{note}\nagain with: simulate(..., only={name!r})"
        raise SimulationFailedError(story, name, len(schedule))

    def _shrunk(
        self, schedule: Schedule, world: World, verdict: Verdict, inputs: Sequence[Input]
    ) -> tuple[Schedule, World, Verdict, Sequence[Input]]:
        """Leave events out as long as the same check fails; then faults."""
        for place in reversed(range(len(inputs))):
            fewer = [*inputs[:place], *inputs[place + 1 :]]
            if fewer and (found := self._fails(schedule, fewer, verdict)):
                (world, verdict), inputs = found, fewer
        for fault in schedule if len(inputs) == len(self._searching.inputs) else ():
            less = tuple(each for each in schedule if each is not fault)
            if found := self._fails(less, inputs, verdict):
                (world, verdict), schedule = found, less
        return schedule, world, verdict, inputs

    def _fails(self, schedule: Schedule, inputs: Sequence[Input], verdict: Verdict) -> tuple[World, Verdict] | None:
        try:
            world, found = self._searching.run(schedule, inputs)
        except SimulationError:
            return None
        same = found is not None and found.check == verdict.check and world.is_whole
        return (world, found) if same and found is not None else None


def difference(one: Sequence[Any], other: Sequence[Any]) -> str:
    """Return in words where two runs part; empty where they do not."""
    for before, after in zip(one, other, strict=False):
        if before != after:
            return f"once {str(before)[:120]!r}, then {str(after)[:120]!r}"
    if len(one) != len(other):
        longer = one if len(one) > len(other) else other
        return f"one ends before {str(longer[min(len(one), len(other))])[:120]!r}"
    return ""
