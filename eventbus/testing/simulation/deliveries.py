"""Deliveries: which of the messages that wait comes next, and to whom. One at a time, unless a fault says otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from eventbus.testing.simulation.broker import HandBroker, Waiting
from eventbus.testing.simulation.built import Maker
from eventbus.testing.simulation.conductor import Conductor
from eventbus.testing.simulation.process import Process

_MOST_CHOICES = 8
"""Of what waits, so many are tried before the first."""


class Deliveries:
    """Gives messages to services.

    Args:
        processes: the workers, as they are at any time.
        add: starts one more process.

    Attributes:
        left_out: how many orders were not tried, since they cannot matter.
    """

    def __init__(
        self,
        broker: HandBroker,
        conductor: Conductor,
        processes: Sequence[Process],
        add: Callable[[Sequence[Maker]], Process],
    ) -> None:
        self._broker = broker
        self._conductor = conductor
        self._processes = processes
        self._add = add
        self._begun: Counter[str] = Counter()
        self.left_out = 0

    def choose(self, waiting: list[Waiting]) -> None:
        """Deliver the first of what waits, or what the schedule wants in its place or beside it."""
        conductor = self._conductor
        chosen = waiting[0]
        label = self._label(chosen)
        number = self._begun[label] + 1
        others = [each for each in waiting[1:] if self._depends(chosen, each)]
        self.left_out += len(waiting) - 1 - len(others)
        del others[_MOST_CHOICES:]
        for place, other in enumerate(others, 1):
            if conductor.point("overtaken", label, number, place):
                conductor.note_fault("overtaken")
                chosen, others = other, [waiting[0], *(each for each in others if each is not other)]
                label = self._label(chosen)
                number = self._begun[label] + 1
                break
        self._begun[label] += 1
        if conductor.point("twice", label, number):
            conductor.note_fault("twice")
            self._broker.repeat(chosen)
        for place, other in enumerate(others, 1):
            if conductor.point("together", label, number, place):
                conductor.note_fault("together")
                conductor.is_together = True
                self._begun[self._label(other)] += 1
                self._replicate(other)
                self._broker.deliver(chosen)
                self._broker.deliver(other, to=1)
                return
        self._broker.deliver(chosen)

    def _replicate(self, waiting: Waiting) -> None:
        """Have a second worker of the service for which a message waits."""
        if len(waiting.channel.subscriptions) < 2:
            at = next(each for each in self._processes if each.serving(waiting.channel.name))
            if at.can_have_twin:
                self._add(at.makers)
            else:
                at.add_worker(waiting.channel.name)

    def _label(self, waiting: Waiting) -> str:
        type_name = "" if waiting.envelope is None else waiting.envelope.type
        for service in (service for process in self._processes for service in process.services):
            if service.channel == waiting.channel.name:
                label = self._conductor.labels.get((service.name, waiting.topic, type_name))
                if label is not None:
                    return label
        return waiting.channel.name

    def _depends(self, one: Waiting, other: Waiting) -> bool:
        """Whether the order of two deliveries can matter: they share their service, or a database."""
        if one.channel.name == other.channel.name:
            same = one.topic == other.topic and one.delivery.body == other.delivery.body
            return not same
        stores = [
            {id(each) for process in self._processes if process.serving(name) for each in process.databases}
            for name in (one.channel.name, other.channel.name)
        ]
        return bool(stores[0] & stores[1])
