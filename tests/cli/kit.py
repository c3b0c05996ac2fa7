"""The command line as processes, and a small service for them to run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cli.running import Done, Forked, run_command
from tests.nsqd import Process

__all__ = ["Done", "Shop", "events"]

SHOP = """
import os
import sys
import time

import gevent
from gevent import monkey

from eventbus import Event, Reject, Retry, Service


class Placed(Event, topic="shop_placed", version=1):
    number: int
    seconds: float = 0.0


service = Service("shopper")


@service.on(Placed, retry=Retry(attempts=2, first=0.01))
def handle(event: Placed) -> None:
    with open(os.environ["SHOP_FILE"] + ".begun", "a") as file:
        file.write(f"{event.number}\\n")
    if event.number == 13:
        os._exit(9)
    if event.number == 666:
        raise Reject("evil")
    if event.number < 0:
        raise ValueError(f"negative: {event.number}")
    if event.seconds < 0:
        monkey.get_original("time", "sleep")(-event.seconds)  # blocks the hub
    else:
        gevent.sleep(event.seconds)
    with open(os.environ["SHOP_FILE"], "a") as file:
        file.write(f"{event.number}\\n")


def make():
    return [service]


number = 42
"""


class Shop:
    """A folder with the service, and the file in which it notes what it handled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "handled.txt"
        self.module = folder / "shop.py"
        self.module.write_text(SHOP)
        self.environment = {"SHOP_FILE": str(self.file), "NO_COLOR": "1", "COLUMNS": "120", "EVENTBUS_MESSAGE_TIMEOUT": "10"}

    @property
    def handled(self) -> list[int]:
        """Numbers of the events that were handled to the end, sorted."""
        return sorted(int(line) for line in self.file.read_text().split()) if self.file.exists() else []

    @property
    def begun(self) -> list[int]:
        """Numbers of the events that a handler began with, sorted."""
        path = self.folder / "handled.txt.begun"
        return sorted(int(line) for line in path.read_text().split()) if path.exists() else []

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "eventbus.cli", *arguments]

    def run(self, *arguments: str, given: str | bytes = "", **variables: str) -> Done:
        """Run a command to its end."""
        data = given if isinstance(given, bytes) else given.encode()
        done = run_command(*arguments, folder=self.folder, given=data, **{**self.environment, **variables})
        assert "Traceback" not in done.err, done.err
        return done

    def start(self, *arguments: str, **variables: str) -> Process:
        """Start a command that goes on."""
        return Forked("eventbus.cli", *arguments, cwd=self.folder, environment={**self.environment, **variables})


def events(numbers: Sequence[int], seconds: float = 0.0) -> str:
    """Lines for `eventbus publish shop_placed -`."""
    return "".join(f'{{"number": {number}, "seconds": {seconds}}}\n' for number in numbers)
