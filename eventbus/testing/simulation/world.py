"""World: one schedule, run from its beginning to the point where nothing waits any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from typing import Any

import gevent

from eventbus.bus import Bus
from eventbus.dead_letters import DeadLetter
from eventbus.engines.memory import MemoryOptions
from eventbus.event import Event
from eventbus.names import PARKED
from eventbus.runtime.failpoints import set_failpoint
from eventbus.runtime.randomness import Randomness
from eventbus.service import Service
from eventbus.testing.clock import VirtualClock
from eventbus.testing.simulation.broker import HandBroker
from eventbus.testing.simulation.built import Built, Maker
from eventbus.testing.simulation.conductor import Conductor, Hooks
from eventbus.testing.simulation.databases import databases_of, in_this_greenlet, inbox_rows, listening, outbox_rows
from eventbus.testing.simulation.deliveries import Deliveries
from eventbus.testing.simulation.errors import SimulationError
from eventbus.testing.simulation.faults import Fault, Schedule
from eventbus.testing.simulation.guard import guarding
from eventbus.testing.simulation.link import Link
from eventbus.testing.simulation.older import OlderVersions
from eventbus.testing.simulation.process import SETTINGS, Process
from eventbus.testing.simulation.watchdog import ComputesForEver, Watchdog
from eventbus.testing.simulation.watching import ObjectWatch, RowWatch

Input = Event | Callable[[Any], object]
_MOST_DELIVERIES = 1000
_REAL_SECONDS = 5.0
"""That one step may take."""
_TURNS = 5000
"""That it has at least, however busy the machine is."""
LONGEST = 4 * _REAL_SECONDS
"""For the watchdog."""
_LONG = 7 * 86400.0
"""Virtual seconds that pass for what the broker forgot to be missed and sent again."""
_draws = [Randomness(number) for number in range(16)]
"""One for each process, begun anew for each schedule: each lasts as long as the program."""


class World:
    """Runs one schedule.

    Args:
        build, inputs: as `simulate` takes them.
        schedule: what goes wrong.
        seed: of ids and of the jitter of retries.
        each_step: called after each step with what the check is given.
    """

    def __init__(
        self,
        build: Callable[[], Any],
        inputs: Sequence[Input],
        schedule: Schedule,
        *,
        seed: int,
        loses: bool,
        older: OlderVersions,
        watchdog: Watchdog,
        each_step: Callable[[World], None] | None = None,
    ) -> None:
        self.conductor = Conductor(schedule, loses=loses, older=older)
        self._processes: list[Process] = []
        self.conductor.processes = self._processes
        self._watchdog = watchdog
        self._build = build
        self._inputs = inputs
        self._seed = seed
        self._each_step = each_step

    # -- what a check may look at -----------------------------------------------------------------------------------

    @property
    def subject(self) -> Any:
        """What `build` returned for the check."""
        return self.built.subject

    @property
    def services(self) -> list[Service]:
        """The services that run."""
        return [service for each in self._processes for service in each.services]

    def databases(self) -> list[Any]:
        """Return the databases of the services' inboxes and outboxes."""
        return list({id(each): each for process in self._processes for each in process.databases}.values())

    def unsettled(self) -> list[str]:
        """Return the types of the events that wait in outboxes: to be published, or for receipts."""
        return [name for each in self.databases() for _, name, _, is_settled in outbox_rows(each) if not is_settled]

    def settled(self) -> set[tuple[str, str, str]]:
        """Return topic, type and id of the events that outboxes with receipts are done with."""
        rows = (row for each in self.databases() for row in outbox_rows(each, with_receipts=True))
        return {(topic, name, identifier) for topic, name, identifier, is_settled in rows if is_settled}

    def claims(self) -> set[tuple[str, str, str]]:
        """Return channel, topic and event id of what inboxes hold for handled or keep as a dead letter."""
        return {claim for each in self.databases() for claim in inbox_rows(each)}

    def dead_letters(self) -> list[DeadLetter]:
        """Return all dead letters."""
        letters: list[DeadLetter] = []
        for dead_topic in [name for name, stats in self.broker.stats().items() if PARKED in stats.channels]:
            topic, _, channel = dead_topic.removesuffix(".dead").rpartition(".")
            letters.extend(self.client.dead_letters(topic, channel).list())
        return letters

    # -- running ----------------------------------------------------------------------------------------------------

    def run(self, judge: Callable[[World], None]) -> None:
        """Run the schedule to its end, and let `judge` look before all is taken down.

        Raises:
            SimulationError: the services cannot be simulated.
        """
        self.clock = VirtualClock()
        self.broker = HandBroker(MemoryOptions(), clock=self.clock)
        self.conductor.delay_retry = self.broker.delay_retry
        self._deliveries = Deliveries(self.broker, self.conductor, self._processes, self._add)
        for number, draws in enumerate(_draws):
            draws.begin_anew(self._seed + number)
        self.built = Built(self._build)
        databases = databases_of(self.built)
        set_failpoint("after_commit_before_finish", self.conductor.committed)
        engines = [engine for each in databases for engine in each.engines]
        objects, rows = ObjectWatch(self.built.subject), RowWatch()
        self.conductor.look = lambda: [*rows.take(), *objects.take()]
        # commits first: of what is not committed no row is told
        listeners = [("commit", self.conductor.commits), *rows.listeners]
        with (
            guarding(self.conductor),
            closing(self.built),
            in_this_greenlet(databases, self.conductor.begins),
            listening(engines, listeners),
        ):
            self._watchdog.found = self.conductor.computes_for_ever
            self._watchdog.alive()
            try:
                self._start()
                self._go_on()
                judge(self)
            except ComputesForEver:
                raise self.conductor.fatal or SimulationError("a check computes for ever") from None
            finally:
                set_failpoint("after_commit_before_finish", None)
                self._end()

    def _start(self) -> None:
        self.client = Bus(
            engine=Link(self.broker, self.conductor.send), source="test", settings=SETTINGS, randomness=_draws[0]
        )
        for makers in self.built.processes:
            self._add(makers)
        self._settle()
        self.conductor.look()
        self.conductor.steps.clear()
        for given in self._inputs:
            if isinstance(given, Event):
                self.client.publish(given)
            else:
                self.conductor.tell(getattr(given, "__name__", "an action").strip("<>").replace("_", " "))
                given(self.built.subject)
            self._settle()

    def _add(self, makers: Sequence[Maker]) -> Process:
        hooks = Hooks(self.conductor)
        draws = _draws[(1 + len(self._processes)) % len(_draws)]
        hooks.process = Process(makers, self.broker, hooks, self.conductor.wrap, self.conductor.send, draws)
        hooks.process.start()
        self._processes.append(hooks.process)
        return hooks.process

    def _go_on(self) -> None:
        deliveries = 0
        while True:
            waiting = self.broker.waiting()
            if not waiting:
                if self._pass_time():
                    continue
                return
            deliveries += 1
            if deliveries > _MOST_DELIVERIES:
                last = self.conductor.steps[-1].text
                raise SimulationError(
                    f"{_MOST_DELIVERIES:,} deliveries and no end; does a service publish for ever? last: {last}"
                )
            self._deliveries.choose(waiting)
            self._settle()
            self.conductor.is_together = False
            if self._each_step is not None:
                self._each_step(self)

    def _pass_time(self) -> bool:
        """Go to the next moment at which something is due; return whether there is one."""
        if self.clock.advance_to_next():
            self._settle()
            return True
        missing = [fault for fault in self.conductor.fired if fault.kind == "forgotten"]
        if missing and self.clock.monotonic() < _LONG and self.unsettled():
            self.clock.advance(3600.0)
            self._settle()
            return True
        return False

    # -- waiting ----------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Return when nothing goes on before something is delivered or time passes."""
        deadline = time.monotonic() + _REAL_SECONDS
        self._watchdog.alive()
        turns = 0
        while True:
            self._sleep(0 if turns < 50 else 0.0005)
            turns += 1
            if self.conductor.fatal is not None:
                raise self.conductor.fatal
            self._bury()
            if all(each.is_idle() for each in self._processes) and not self.conductor.stopping:
                break
            if turns > _TURNS and time.monotonic() > deadline:
                self._say_who_hangs()
        self.conductor.take_effects()

    _sleep = staticmethod(gevent.sleep)

    def _bury(self) -> None:
        """Start anew what died or was stopped."""
        draining = [process for process, _ in self.conductor.stopping]
        for process in self._processes:
            if process.link.is_dead and not process.is_busy() and process not in draining:
                process.stop()
                process.start()
        for pair in list(self.conductor.stopping):
            process, stop = pair
            if stop.dead:
                self.conductor.stopping.remove(pair)
                process.start()

    def _say_who_hangs(self) -> None:
        running = [each.running() for each in self._processes]
        names = ", ".join(name for each in running for name in each) or "something beside the handlers"
        raise SimulationError(
            f"{names} still runs after {_REAL_SECONDS:g} s of real time; a handler may not wait for real time, another "
            "thread or the network in a simulation: give it what it waits for"
        )

    def _end(self) -> None:
        for process in self._processes:
            process.die()
            with suppress(Exception):
                process.stop(grace=0.0)
        with suppress(Exception):
            self.client.stop(grace=0.0)

    # -- afterwards -------------------------------------------------------------------------------------------------

    @property
    def left_out(self) -> int:
        """How many orders of deliveries could not matter."""
        return self._deliveries.left_out

    @property
    def is_whole(self) -> bool:
        """Whether all faults of the schedule happened."""
        return all(fault in self.conductor.fired for fault in self.conductor._wanted)

    def next_faults(self) -> list[Fault]:
        """Return what could go wrong besides, after the last fault that did."""
        last = max(self.conductor.fired.values(), default=0)
        return list(dict.fromkeys(self.conductor.points[last:]))
