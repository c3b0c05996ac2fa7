"""Faults of the file under a running bus: deleted, full, locked, read-only. Each is said, and nothing confirmed is lost."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import gevent
import pytest

from eventbus import Bus, NotSent, Service
from eventbus.engines.sql.requests import as_error
from eventbus.engines.sql.session import Trouble
from eventbus.errors import BrokerUnreachableError
from tests.sql_engine.worker import Numbered
from tests.waiting import eventually


def test_a_file_that_is_deleted_is_said_and_not_made_anew(file: Path, url: str, tmp_path: Path) -> None:
    with Bus(url) as bus:
        bus.publish(Numbered(number=1))
        moved = tmp_path / "moved.db"
        file.rename(moved)
        with pytest.raises(NotSent, match="deleted or moved under the running bus"):
            bus.publish(Numbered(number=2))
        with pytest.raises(BrokerUnreachableError, match="deleted or moved"):
            bus.engine.stats()
        assert not file.exists()
        moved.rename(file)
        bus.publish(Numbered(number=3))
        assert bus.engine.stats()["numbered"].depth == 2


def test_another_file_in_its_place_is_not_written_to(file: Path, url: str, tmp_path: Path) -> None:
    with Bus(url) as bus:
        bus.publish(Numbered(number=1))
        file.rename(tmp_path / "moved.db")
        file.touch()
        with pytest.raises(NotSent, match="another file lies there now"):
            bus.publish(Numbered(number=2))
        assert file.stat().st_size == 0


def test_a_lock_that_is_held_too_long_is_said_and_then_waited_for(file: Path, url: str) -> None:
    with Bus(url) as bus:
        bus.publish(Numbered(number=1))
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(NotSent, match=r"database is locked, for 0\.3 s; nothing was written"):
            bus.publish(Numbered(number=2), timeout=0.3)
        waiting = gevent.spawn(bus.publish, Numbered(number=3))
        gevent.sleep(0.1)
        other.execute("COMMIT")
        waiting.get(timeout=30)
        other.close()
        assert bus.engine.stats()["numbered"].depth == 2


_FULL = """
import sys
from eventbus import Bus, EventBusError, NotSent
from tests.sql_engine.worker import Numbered
import os
folder = sys.argv[1]
filler = os.path.join(folder, "filler")
confirmed = 0
with Bus(f"sqlite:///{folder}/bus.db") as bus:
    for _ in range(10):
        bus.publish(Numbered(number=confirmed, text="x" * 1000))
        confirmed += 1
    try:
        with open(filler, "wb", buffering=0) as out:
            while True:
                out.write(b"x" * 4096)
    except OSError:
        pass
    said = ""
    for _ in range(5000):
        try:
            bus.publish(Numbered(number=confirmed, text="x" * 1000), timeout=5.0)
            confirmed += 1
        except NotSent as error:
            said = str(error)
            break
    assert "full" in said, said
    os.remove(filler)
    for _ in range(10):
        bus.publish(Numbered(number=confirmed, text="x" * 1000))
        confirmed += 1
    depth = bus.engine.stats()["numbered"].depth
    assert depth == confirmed, (depth, confirmed)
with Bus(f"sqlite:///{folder}/bus.db") as bus:
    assert bus.engine.stats()["numbered"].depth == confirmed
print("balanced")
"""


def test_a_full_disk_keeps_what_was_confirmed_and_takes_more_when_there_is_room(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=3m none {tmp_path} && exec {sys.executable} -c "$1" {tmp_path}'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", _FULL]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    except FileNotFoundError:
        pytest.skip("unshare is not here, and no small disk can be made")
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("no small disk can be made here")
    assert done.stdout.strip() == "balanced", done.stderr


@pytest.mark.parametrize(
    ("kind", "error"),
    [("full", "NotSent"), ("gone", "NotSent"), ("readonly", "Rejected"), ("unknown", "OutcomeUnknown"), ("io", "NotSent")],
)
def test_each_trouble_is_the_error_that_says_how_far_it_came(kind: str, error: str) -> None:
    assert type(as_error(Trouble(kind, "it broke"))).__name__ == error


def test_a_wake_comes_across_processes_without_polling(file: Path, url: str) -> None:
    seen: list[int] = []
    service = Service("waking")
    service.on(Numbered)(lambda event: seen.append(event.number))
    script = "import sys\nfrom eventbus import Bus\nfrom tests.sql_engine.worker import Numbered\n"
    script += "with Bus(sys.argv[1]) as bus:\n    bus.publish(Numbered(number=7))\n"
    with Bus(f"{url}?poll=60s") as bus:
        bus.start(service)
        subprocess.run([sys.executable, "-c", script, url], check=True)
        gevent.sleep(0.3)
        assert seen == []  # so it is not another way by which it hears of it
    with Bus(url) as bus:
        again = service.replica()
        bus.start(again)
        eventually(lambda: seen == [7])
        subprocess.run([sys.executable, "-c", script, url], check=True)
        eventually(lambda: seen == [7, 7], timeout=60)
