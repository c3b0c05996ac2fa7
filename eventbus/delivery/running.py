"""Running: the handler runs that go on, each in a worker greenlet of its own: too long, thrown out, given up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gevent.hub import get_hub

from eventbus.delivery.interrupts import Interrupt, StopInterrupt
from eventbus.delivery.received import Received
from eventbus.delivery.routes import Route

Run = tuple[Sequence[Received], Route, float]
"""The items, where they belong, and the monotonic instant of the first tick that saw them; 0.0 before."""


class RunningInvocations:
    """What runs, by greenlet. The dispatcher adds and removes in `by_greenlet` itself: this happens for each event."""

    __slots__ = ("by_greenlet",)

    def __init__(self) -> None:
        self.by_greenlet: dict[Any, Run] = {}

    def items(self) -> Iterator[Received]:
        """Yield the items of all runs."""
        for items, _, _ in self.by_greenlet.values():
            yield from items

    def interrupt_late(self, now: float) -> None:
        """Throw out what ran past its time limit. Called in the hub, with the monotonic time."""
        for greenlet, (items, route, since) in list(self.by_greenlet.items()):
            if not since:
                # counted from the first tick after it began: up to a tick too long, but never too short, also after a stall
                self.by_greenlet[greenlet] = (items, route, now)
            elif now - since > route.binding.timeout:
                greenlet.throw(Interrupt())

    def interrupt_all(self) -> int:
        """Throw out what still runs; return how many deliveries that concerns. They go back soon after."""
        loop = get_hub().loop
        for greenlet, run in self.by_greenlet.items():
            loop.run_callback(self._throw_out, greenlet, run[0])
        return sum(len(items) for items, _, _ in self.by_greenlet.values())

    def _throw_out(self, greenlet: Any, items: Sequence[Received]) -> None:
        run = self.by_greenlet.get(greenlet)
        if run is not None and run[0] is items:  # it may have ended meanwhile, and the greenlet be at another delivery
            greenlet.throw(StopInterrupt())

    def give_up(self) -> None:
        """Give back what handlers hold that do not even end when they are thrown out; their late answers are ignored."""
        for item in self.items():
            item.delivery.requeue()
