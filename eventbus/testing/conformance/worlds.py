"""Worlds: an engine as the suite sees it, and the features in which engines may differ.

A world lives as long as the test session; tests keep apart by topics of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from eventbus.bus import Bus
from eventbus.engines import open_engine
from eventbus.engines.base import Engine, Receiver, Subscription
from eventbus.middleware import Middleware
from eventbus.settings import BusSettings
from eventbus.testing.conformance.waiting import PATIENCE

LONG = 900.0
"""Message timeout in seconds beyond all patience: what comes in time has come by other means."""


@dataclass(frozen=True, slots=True)
class Features:
    """What an engine can do beyond the promises. What it cannot do, the suite does not ask.

    Attributes:
        outlives: several processes share the broker, and it lives on when one of them dies.
        pauses: `pause` and `resume` of channels.
        ephemeral: channels whose name ends with `#ephemeral` vanish with their last subscriber.
        past: it keeps what was published (`Log`): a channel may begin in the past, and get past events again.
        bounded: URL of the engine with channels that hold ten messages, where it has such an option: a publish waits then.
        brokers: servers among which max in flight is shared; a publisher sends to one of them.
    """

    outlives: bool = True
    pauses: bool = True
    ephemeral: bool = True
    past: bool = False
    bounded: str | None = None
    brokers: int = 1


class World(Protocol):
    """A broker and the means to reach it."""

    @property
    def features(self) -> Features: ...

    def bus(self, *, max_delay: float | None = None, middleware: tuple[Middleware, ...] = (), **settings: Any) -> Bus:
        """Return a new bus on this world's broker.

        Args:
            max_delay: longest delay in seconds that its engine holds, for tests of what is longer.
            settings: `codec`, or fields of `BusSettings`.
        """
        ...

    def close(self) -> None:
        """End what the world began."""
        ...


class EngineWorld:
    """A broker that a URL leads to: each bus opens it anew, as another process would."""

    def __init__(self, url: str, features: Features) -> None:
        self.url = url
        self.features = features

    def open(self, max_delay: float | None) -> Engine:
        """Return an engine for one bus, which closes it."""
        engine = open_engine(self.url)
        if max_delay is not None:
            engine.max_delay = max_delay
        return engine

    def bus(self, *, max_delay: float | None = None, middleware: tuple[Middleware, ...] = (), **settings: Any) -> Bus:
        codec = settings.pop("codec", None)
        given = BusSettings(**{"message_timeout": LONG, "publish_timeout": PATIENCE, "source": "suite", **settings})
        return Bus(engine=self.open(max_delay), middleware=middleware, settings=given, codec=codec)

    def close(self) -> None:
        pass


class SharedWorld(EngineWorld):
    """An engine that is its own broker and dies with the process: all buses share the one that the URL leads to."""

    def __init__(self, url: str, features: Features) -> None:
        super().__init__(url, features)
        self._engine = open_engine(url)

    def open(self, max_delay: float | None) -> Engine:
        borrowed: Any = _Borrowed(self._engine, max_delay)
        engine: Engine = borrowed
        return engine

    def close(self) -> None:
        self._engine.close()


class _Borrowed:
    """A shared engine as one bus sees it: closing ends that bus's subscriptions alone."""

    def __init__(self, engine: Engine, max_delay: float | None) -> None:
        self._engine = engine
        self._subscriptions: list[Subscription] = []
        self.max_delay = max_delay or engine.max_delay

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def subscribe(self, topic: str, channel: str, receiver: Receiver, **options: Any) -> Subscription:
        subscription = self._engine.subscribe(topic, channel, receiver, **options)
        self._subscriptions.append(subscription)
        return subscription

    def close(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()
