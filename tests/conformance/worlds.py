"""The worlds of our own engines: every test of the suite runs in each."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eventbus.engines import Engine, open_engine
from eventbus.engines.nsq.http import request
from eventbus.testing.conformance import EngineWorld, Features, SharedWorld, World
from tests.conformance.apart import Apart, Publishing
from tests.nsqd import Nsqd, Nsqlookupd
from tests.postgres import Cluster
from tests.waiting import PATIENCE, eventually


class _OptionWorld(EngineWorld):
    """Gives the longest delay as users do: as an option of the URL."""

    def open(self, max_delay: float | None) -> Engine:
        mark = "&" if "?" in self.url else "?"
        return open_engine(self.url if max_delay is None else f"{self.url}{mark}max_delay={max_delay}")


class NsqWorld(_OptionWorld):
    """One real nsqd, consumed from directly."""

    def __init__(self) -> None:
        self._server = Nsqd("-mem-queue-size=100000")
        super().__init__(self._server.url, Features())

    def close(self) -> None:
        self._server.end()


class ClusterWorld(_OptionWorld):
    """Two real nsqd, found through two real nsqlookupd."""

    def __init__(self) -> None:
        lookupds = (Nsqlookupd(), Nsqlookupd())
        nsqds = [Nsqd("-mem-queue-size=100000", lookupds=lookupds) for _ in range(2)]
        self._servers: list[Any] = [*nsqds, *lookupds]
        eventually(
            lambda: all(len(request(each.http, "GET", "/nodes", timeout=PATIENCE)["producers"]) == 2 for each in lookupds)
        )
        url = f"nsq://{lookupds[0].http},{lookupds[1].http}?lookup_interval=1"
        super().__init__(url, Features(brokers=2))

    def close(self) -> None:
        for server in self._servers:
            server.end()


class SqliteWorld(_OptionWorld):
    """One file, as all processes of one machine share it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sqlite-of-tests-"))
        super().__init__(f"sqlite:///{self._folder}/bus.db", Features(past=True))

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


class ApartWorld(SqliteWorld):
    """The same, with every publish in another process than the subscribers."""

    def __init__(self) -> None:
        super().__init__()
        self._publishing = Publishing(self.url, self._folder)

    def open(self, max_delay: float | None) -> Engine:
        apart: Any = Apart(super().open(max_delay), self._publishing.path)
        engine: Engine = apart
        return engine

    def close(self) -> None:
        self._publishing.end()
        super().close()


class PostgresWorld(_OptionWorld):
    """A database on a real server."""

    def __init__(self) -> None:
        self._cluster = Cluster()
        super().__init__(self._cluster.url, Features(past=True))

    def close(self) -> None:
        self._cluster.end()


def memory_world() -> World:
    """The engine inside this process."""
    return SharedWorld("memory://", Features(outlives=False, bounded="memory://?max_depth=10"))


WORLDS: dict[str, Callable[[], World]] = {
    "memory": memory_world,
    "nsq": NsqWorld,
    "cluster": ClusterWorld,
    "sqlite": SqliteWorld,
    "sqlite-apart": ApartWorld,
    "postgresql": PostgresWorld,
}
"""The table of engines: every test of the suite runs on each."""
