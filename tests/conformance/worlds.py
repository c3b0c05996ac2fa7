"""Worlds: each engine as the suite sees it, and the features in which engines may differ.

A world lives as long as the test session; tests keep apart by topics of their own.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from eventbus import Bus, Middleware
from eventbus.engines import open_engine
from eventbus.engines.memory import MemoryEngine, MemoryOptions
from eventbus.engines.nsq.http import request
from eventbus.settings import BusSettings
from tests.conformance.apart import Apart, Publishing
from tests.nsqd import Nsqd, Nsqlookupd
from tests.postgres import Cluster
from tests.waiting import PATIENCE, eventually

LONG = 900.0
"""Message timeout in seconds beyond all patience: what comes in time has come by other means."""


@dataclass(frozen=True)
class Features:
    """What an engine has beyond the promises.

    Attributes:
        bounded_depth: publish can be made to block or raise when a channel is full.
        outlives: the broker lives on when a process on it dies.
        brokers: servers among which max in flight is shared; a publisher sends to one of them.
    """

    bounded_depth: bool
    outlives: bool = True
    brokers: int = 1


class World(Protocol):
    """A broker and the means to reach it."""

    name: str
    features: Features

    def bus(self, *, max_delay: float | None = None, middleware: tuple[Middleware, ...] = (), **settings: Any) -> Bus:
        """Return a new bus on this world's broker."""
        ...

    def close(self) -> None: ...


_numbers = count(1)


def unique(prefix: str = "t") -> str:
    """Return a name that no other test uses."""
    return f"{prefix}{next(_numbers)}_{uuid4().hex[:6]}"


def make_settings(settings: dict[str, Any]) -> BusSettings:
    return BusSettings(**{"message_timeout": LONG, "publish_timeout": PATIENCE, "source": "suite", **settings})


class _Borrowed:
    """A shared memory engine as one bus sees it: closing ends that bus's subscriptions alone."""

    def __init__(self, engine: MemoryEngine, max_delay: float | None) -> None:
        self._engine = engine
        self._subscriptions: list[Any] = []
        self.max_delay = max_delay or engine.max_delay

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def subscribe(self, *args: Any, **options: Any) -> Any:
        subscription = self._engine.subscribe(*args, **options)
        self._subscriptions.append(subscription)
        return subscription

    def close(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()


class MemoryWorld:
    name = "memory"
    features = Features(bounded_depth=True, outlives=False)

    def __init__(self) -> None:
        self._engine = MemoryEngine(MemoryOptions())

    def bus(self, *, max_delay: float | None = None, middleware: tuple[Middleware, ...] = (), **settings: Any) -> Bus:
        borrowed: Any = _Borrowed(self._engine, max_delay)
        codec = settings.pop("codec", None)
        return Bus(engine=borrowed, middleware=middleware, settings=make_settings(settings), codec=codec)

    def close(self) -> None:
        with suppress(Exception):
            self._engine.close()


class NsqWorld:
    """One real nsqd, consumed from directly."""

    name = "nsq"
    features = Features(bounded_depth=False)

    def __init__(self) -> None:
        self._servers: list[Any] = [Nsqd("-mem-queue-size=100000")]
        self._url = self._servers[0].url

    def bus(self, *, max_delay: float | None = None, middleware: tuple[Middleware, ...] = (), **settings: Any) -> Bus:
        url = self._url if max_delay is None else f"{self._url}&max_delay={max_delay}"
        codec = settings.pop("codec", None)
        return Bus(url, middleware=middleware, settings=make_settings(settings), codec=codec)

    def close(self) -> None:
        for server in self._servers:
            server.end()


class ClusterWorld(NsqWorld):
    """Two real nsqd, found through two real nsqlookupd."""

    name = "cluster"
    features = Features(bounded_depth=False, brokers=2)

    def __init__(self) -> None:
        lookupds = (Nsqlookupd(), Nsqlookupd())
        nsqds = [Nsqd("-mem-queue-size=100000", lookupds=lookupds) for _ in range(2)]
        self._servers = [*nsqds, *lookupds]
        self._url = f"nsq://{lookupds[0].http},{lookupds[1].http}?lookup_interval=1"
        eventually(
            lambda: all(len(request(each.http, "GET", "/nodes", timeout=PATIENCE)["producers"]) == 2 for each in lookupds)
        )


class SqliteWorld:
    """One file, as all processes of one machine share it."""

    name = "sqlite"
    features = Features(bounded_depth=False)

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sqlite-of-tests-"))
        self._url = f"sqlite:///{self._folder}/bus.db"

    def bus(self, *, max_delay: float | None = None, middleware: tuple[Middleware, ...] = (), **settings: Any) -> Bus:
        url = self._url if max_delay is None else f"{self._url}?max_delay={max_delay}"
        codec = settings.pop("codec", None)
        return Bus(url, middleware=middleware, settings=make_settings(settings), codec=codec)

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


class PostgresWorld:
    """A database on a real server."""

    name = "postgresql"
    features = Features(bounded_depth=False)

    def __init__(self) -> None:
        self._cluster = Cluster()
        self._url = self._cluster.url

    def bus(self, *, max_delay: float | None = None, middleware: tuple[Middleware, ...] = (), **settings: Any) -> Bus:
        url = self._url if max_delay is None else f"{self._url}?max_delay={max_delay}"
        codec = settings.pop("codec", None)
        return Bus(url, middleware=middleware, settings=make_settings(settings), codec=codec)

    def close(self) -> None:
        self._cluster.end()


class ApartWorld(SqliteWorld):
    """The same, with every publish in another process than the subscribers."""

    name = "sqlite-apart"

    def __init__(self) -> None:
        super().__init__()
        self._publishing = Publishing(self._url, self._folder)

    def bus(self, *, max_delay: float | None = None, middleware: tuple[Middleware, ...] = (), **settings: Any) -> Bus:
        url = self._url if max_delay is None else f"{self._url}?max_delay={max_delay}"
        apart: Any = Apart(open_engine(url), self._publishing.path)
        codec = settings.pop("codec", None)
        return Bus(engine=apart, middleware=middleware, settings=make_settings(settings), codec=codec)

    def close(self) -> None:
        self._publishing.end()
        super().close()


WORLDS: dict[str, Callable[[], World]] = {
    "memory": MemoryWorld,
    "nsq": NsqWorld,
    "cluster": ClusterWorld,
    "sqlite": SqliteWorld,
    "sqlite-apart": ApartWorld,
    "postgresql": PostgresWorld,
}
"""The table of engines: every test of the suite runs on each."""
