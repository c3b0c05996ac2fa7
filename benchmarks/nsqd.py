"""An nsqd for the benchmarks: on the loopback, all in memory, in a folder of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from eventbus.engines.nsq.addresses import Address
from eventbus.engines.nsq.http import HttpError, request

ROOT = Path(__file__).parent.parent
_PROGRAM = ROOT / ".cache" / "nsq" / "nsqd"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A running nsqd."""

    def __init__(self) -> None:
        self.tcp, self.http = Address("127.0.0.1", _free_port()), Address("127.0.0.1", _free_port())
        self.url = f"nsq+direct://{self.tcp}?http={self.http}"

    def post(self, path: str, **query: str) -> None:
        request(self.http, "POST", path, timeout=10.0, **query)

    def fresh(self, topic: str, *channels: str) -> None:
        """Make a topic anew."""
        with suppress(HttpError):
            self.post("/topic/delete", topic=topic)
        self.post("/topic/create", topic=topic)
        for channel in channels:
            self.post("/channel/create", topic=topic, channel=channel)

    def role(self, name: str, *arguments: object, module: str = "benchmarks.roles") -> str:
        """Run a role of ours in a process of its own; return what it printed."""
        command = [sys.executable, "-m", module, name, self.url, *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=300).stdout.strip()

    def rate(self, name: str, *arguments: object) -> float:
        return float(self.role(name, *arguments))


@contextmanager
def server() -> Iterator[Server]:
    """Start an nsqd and end it."""
    if not _PROGRAM.exists():
        sys.exit("the NSQ benchmarks need nsqd: make nsq")
    found = Server()
    folder = tempfile.mkdtemp(prefix="eventbus-bench-")
    options = ["-mem-queue-size=3000000", "-max-rdy-count=10000", "-log-level=error"]
    process = subprocess.Popen(
        [str(_PROGRAM), f"-tcp-address={found.tcp}", f"-http-address={found.http}", f"-data-path={folder}", *options]
    )
    try:
        for _ in range(200):
            try:
                request(found.http, "GET", "/ping", timeout=1.0)
                break
            except HttpError:
                time.sleep(0.05)
        yield found
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
