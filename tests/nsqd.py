"""Real nsqd and nsqlookupd as processes of the test, on free ports of the loopback and in a folder of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from eventbus.engines.nsq.addresses import Address
from eventbus.engines.nsq.http import HttpError, request
from tests.ports import HOST, free_port
from tests.waiting import PATIENCE, eventually

__all__ = ["HOST", "Nsqd", "Nsqlookupd", "Process", "free_port", "have_nsqd", "program", "wait_for_ping"]

CACHE = Path(__file__).parent.parent / ".cache" / "nsq"


def program(name: str) -> str:
    """Return the path of an NSQ program; skip the test where there is none, and fail it in CI."""
    for path in (CACHE / name, shutil.which(name)):
        if path and Path(path).exists():
            return str(path)
    message = f"{name} is not here; get it with: make nsq"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def have_nsqd() -> bool:
    return (CACHE / "nsqd").exists() or shutil.which("nsqd") is not None


class Process:
    """A program that this test started, and ends."""

    def __init__(self, *command: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.command = command
        handle, name = tempfile.mkstemp(prefix="process-of-a-test-")
        os.close(handle)
        self._path = Path(name)
        # appending: a reader that shares the file must not move the place where the program writes
        self.log = self._path.open("ab")
        self.folder = cwd
        self.environment = {**os.environ, **(environment or {})}
        self.process = self.begin()

    def begin(self) -> Any:
        """Start it."""
        return subprocess.Popen(
            self.command,
            stdout=self.log,
            stderr=self.log,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            env=self.environment,
        )

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        eventually(lambda: self.process.poll() is not None, f"the end of {self.command[0]}", timeout=timeout)
        return int(self.process.returncode)

    def output(self) -> str:
        return self._path.read_text(errors="replace")

    def end(self) -> None:
        if self.log.closed:
            return
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
                self.process.kill()
            self.process.wait()
        self.log.close()
        self._path.unlink()


class Nsqlookupd:
    def __init__(self) -> None:
        self.tcp, self.http = Address(HOST, free_port()), Address(HOST, free_port())
        self.start()

    def start(self) -> None:
        self.process = Process(
            program("nsqlookupd"),
            f"-tcp-address={self.tcp}",
            f"-http-address={self.http}",
            f"-broadcast-address={HOST}",
            "-log-level=error",
        )
        wait_for_ping(self.http, self.process)

    def end(self) -> None:
        self.process.end()


class Nsqd:
    """An nsqd with data of its own; it keeps its ports over restarts unless told otherwise."""

    def __init__(self, *options: str, lookupds: tuple[Nsqlookupd, ...] = (), start: bool = True) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nsqd-test-"))
        self.options = options
        self.lookupds = lookupds
        self.new_ports()
        if start:
            self.start()

    def new_ports(self) -> None:
        self.tcp, self.http = Address(HOST, free_port()), Address(HOST, free_port())

    def start(self) -> None:
        self.process = Process(
            program("nsqd"),
            f"-tcp-address={self.tcp}",
            f"-http-address={self.http}",
            f"-broadcast-address={HOST}",
            f"-data-path={self.folder}",
            "-log-level=error",
            "-queue-scan-selection-count=1000",  # tests have many channels, and nsqd looks at so many timers each 100 ms
            *(f"-lookupd-tcp-address={lookupd.tcp}" for lookupd in self.lookupds),
            *self.options,
        )
        wait_for_ping(self.http, self.process)

    def kill(self) -> None:
        self.process.end()

    def stop(self) -> None:
        self.process.signal(signal.SIGTERM)
        self.process.wait()
        self.process.end()

    def freeze(self) -> None:
        """Stopped when this returns: after the signal alone its threads still answer, on a busy machine."""
        self.process.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.process.pid, os.WSTOPPED | os.WNOWAIT)

    def thaw(self) -> None:
        self.process.signal(signal.SIGCONT)

    def get(self, path: str, **query: str) -> Any:
        return request(self.http, "GET", path, timeout=PATIENCE, **query)

    def post(self, path: str, **query: str) -> Any:
        return request(self.http, "POST", path, timeout=PATIENCE, **query)

    @property
    def url(self) -> str:
        return f"nsq+direct://{self.tcp}?http={self.http}"

    def end(self) -> None:
        self.process.end()
        shutil.rmtree(self.folder, ignore_errors=True)


def wait_for_ping(http: Address, process: Process) -> None:
    """Return once the server answers; fail at once where it has ended."""

    def answers() -> bool:
        assert process.process.poll() is None, f"{process.command[0]} has ended: {process.output()}"
        try:
            request(http, "GET", "/ping", timeout=PATIENCE)
        except HttpError as error:
            return error.status == 403  # it asks for HTTPS
        return True

    eventually(answers, f"an answer of {process.command[0]}")
