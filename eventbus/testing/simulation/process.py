"""Process: one worker of a service in a simulation, with a bus of its own. It can die, and be started again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from eventbus.bus import Bus
from eventbus.handlers.binding import Binding
from eventbus.middleware import Middleware
from eventbus.runtime.randomness import Randomness
from eventbus.service import Service
from eventbus.settings import BusSettings
from eventbus.testing.simulation.broker import HandBroker
from eventbus.testing.simulation.built import Maker
from eventbus.testing.simulation.databases import of_service
from eventbus.testing.simulation.link import Link, Send

Wrap = Callable[[Service, Binding], Callable[..., Any]]
SETTINGS = BusSettings.model_construct()


class Process:
    """A worker of a service.

    Args:
        makers: return its services, anew for each start where what a process holds in memory is to die with it.
        wrap: returns what is called in a handler's place.
    """

    def __init__(
        self,
        makers: Sequence[Maker],
        broker: HandBroker,
        middleware: Middleware,
        wrap: Wrap,
        send: Send,
        randomness: Randomness,
    ) -> None:
        self.makers = makers
        self._broker = broker
        self._middleware = middleware
        self._wrap = wrap
        self._send = send
        self._randomness = randomness
        self.bus: Bus
        self.link: Link
        self.services: list[Service] = []

    def start(self) -> None:
        """Start it, or start it again after its end."""
        self.link = Link(self._broker, self._send)
        self.bus = Bus(
            engine=self.link,
            source="test",
            middleware=[self._middleware],
            settings=SETTINGS,
            randomness=self._randomness,
        )
        self.services = [self._wrapped(make()) for make in self.makers]
        self.bus.start(*self.services)

    def _wrapped(self, made: Service) -> Service:
        wrapped = made.replica()
        wrapped._bindings = {
            key: replace(binding, handler=self._wrap(made, binding)) for key, binding in made._bindings.items()
        }
        return wrapped

    def serving(self, channel: str) -> Service | None:
        """Return its service of a channel, if it has one."""
        return next((each for each in self.services if each.channel == channel), None)

    @property
    def can_have_twin(self) -> bool:
        """Whether another process can be made beside it: with services and attachments of its own."""
        return not any(make.is_fixed and each.attachments for make, each in zip(self.makers, self.services, strict=True))

    def add_worker(self, channel: str) -> None:
        """Have a second worker of one of its services."""
        service = self.serving(channel)
        if service is not None:
            self.bus.start(service.replica())

    def die(self) -> None:
        """End at once: no answer is given any more, and nothing is sent."""
        self.link.die()

    def stop(self, grace: float = 5.0) -> None:
        """Drain, as a deploy does it; after `die`, clear away what is left."""
        self.bus.stop(grace=grace)

    def is_idle(self) -> bool:
        """Whether nothing goes on here before time passes or something arrives."""
        return self.bus.is_idle

    @property
    def databases(self) -> list[Any]:
        """The databases of its inboxes and outboxes."""
        return list({id(each): each for service in self.services for each in of_service(service)}.values())

    def is_busy(self) -> bool:
        """Whether a handler runs here."""
        return any(each.is_busy for each in self.bus.dispatchers)

    def running(self) -> list[str]:
        """Return the names of the handlers that run."""
        return [
            f"{each.service.name}.{route.binding.name.rpartition('.')[2]}"
            for each in self.bus.dispatchers
            for _, route, _ in each.execution.running.by_greenlet.values()
        ]
