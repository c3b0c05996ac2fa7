"""Past events that are signed: they are found by type and by id, and are believed again when they come again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import gevent
import pytest

from eventbus import Bus, Event, Service
from tests.signing.keys import settings
from tests.waiting import PATIENCE, eventually, stays


class Numbered(Event, topic="numbered"):
    number: int


class Named(Event, topic="numbered"):
    name: str


def _replay(url: str, *options: str, **variables: str) -> str:
    command = [sys.executable, "-m", "eventbus.cli", "replay", "numbered", "--to", "depot", "--bus", url, *options]
    mine = {name: value for name, value in os.environ.items() if name not in ("EVENTBUS_SIGN", "EVENTBUS_KEYS_FILE")}

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False, env={**mine, **variables}
        )

    done: subprocess.CompletedProcess[str] = gevent.get_hub().threadpool.apply(run)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> str:
    """The URL of a new bus, on each database in turn."""
    return str(request.getfixturevalue("url" if request.param == "sqlite" else "database"))


def test_signed_events_are_replayed_by_type_and_by_id(place: str, tmp_path: Path) -> None:
    seen: list[object] = []
    depot = Service("depot")
    depot.on(Numbered)(lambda event: seen.append(event.number))
    depot.on(Named)(lambda event: seen.append(event.name))
    keys = {"EVENTBUS_SIGN": "require", "EVENTBUS_KEYS_FILE": str(tmp_path / "ops-1.toml")}
    settings(tmp_path, "ops-1")
    with (
        Bus(place, source="shop", settings=settings(tmp_path, "shop-1")) as shop,
        Bus(place, source="depot", settings=settings(tmp_path, "depot-1")) as bus,
    ):
        bus.start(depot)
        first, second = shop.publish(Numbered(number=1)), shop.publish(Numbered(number=2))
        shop.publish(Named(name="three"))
        eventually(lambda: len(seen) == 3)
        assert "1 events of numbered for depot" in _replay(place, "--type", "Named", **keys)
        eventually(lambda: seen[3:] == ["three"])
        assert "1 events" in _replay(place, "--id", second, **keys)
        eventually(lambda: seen[3:] == ["three", 2])
        assert "0 events" in _replay(place, "--type", "Named", "--id", first, "--dry-run")
        assert "1 events" in _replay(place, "--type", "Numbered", "--id", first), "who has no keys chooses as well"
        eventually(lambda: seen[3:] == ["three", 2, 1])
        stays(lambda: len(seen) == 6, 0.2)
        assert bus.dead_letters(Numbered, depot).count() == 0
