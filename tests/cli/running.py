"""Running `eventbus` to its end, and other programs, each as a process of its own, without the second or more of processor
time that its start takes."""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eventbus.runtime.failpoints import VARIABLE
from tests.nsqd import Process
from tests.waiting import PATIENCE

FORKING = Path(__file__).parent / "forking.py"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> str:
        """What it wrote on stderr, but for the watch over the hub: on a busy machine that has cause to complain."""
        return "".join(line for line in self.err.splitlines(keepends=True) if "blocks the hub" not in line)


def run_command(*arguments: str, folder: Path, given: bytes = b"", **variables: str) -> Done:
    """Run `eventbus` to its end.

    Args:
        folder: where it runs.
        given: its standard input.
        variables: added to the environment.
    """
    return _one_server().run(arguments, folder, given, {**os.environ, **variables})


class _Server:
    """A process that forks for each command (`forking.py`)."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._link.settimeout(PATIENCE)
        with theirs:
            command = [sys.executable, str(FORKING), str(theirs.fileno())]
            # the failpoints are those of each program alone
            environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),), env=environment)
        atexit.register(self._end)

    def run(self, arguments: tuple[str, ...], folder: Path, given: bytes, environment: Mapping[str, str]) -> Done:
        source, sink = os.pipe()
        feeder = threading.Thread(target=_feed, args=(sink, given))
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            streams = [source, out.fileno(), err.fileno()]
            process = self.start("eventbus.cli", arguments, folder, streams, environment)
            os.close(source)
            feeder.start()
            try:
                code = self.ended(process, waits=True)
            except TimeoutError:
                os.kill(process, signal.SIGKILL)
                raise AssertionError(f"eventbus {' '.join(arguments)} has not ended within {PATIENCE:g} s") from None
            finally:
                feeder.join()
            assert code is not None
            return Done(code, _text(out), _text(err))

    def start(
        self, module: str, arguments: Sequence[str], folder: Path, streams: list[int], environment: Mapping[str, str]
    ) -> int:
        """Start `python -m module` with these streams, and return its process id."""
        request = {"module": module, "arguments": arguments, "folder": str(folder), "environment": dict(environment)}
        socket.send_fds(self._link, [json.dumps(request).encode()], streams)
        return int(self._link.recv(64))

    def ended(self, process: int, *, waits: bool = False) -> int | None:
        """Return how a process ended, below 0 by a signal; None while it runs. Ask no more afterwards."""
        self._link.send(json.dumps({"ended": process, "waits": waits}).encode())
        answer = self._link.recv(64).decode()
        return None if answer == "None" else int(answer)

    def _end(self) -> None:
        if self.owner == os.getpid():
            self._link.close()
            self._process.wait()


def _feed(sink: int, given: bytes) -> None:
    with suppress(BrokenPipeError), open(sink, "wb") as pipe:  # a command need not read it
        pipe.write(given)


def _text(file: tempfile._TemporaryFileWrapper[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


class _Child:
    """A process of the server, as `subprocess.Popen` shows one of this process."""

    def __init__(self, server: _Server, pid: int) -> None:
        self._server = server
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.ended(self.pid)
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = self._server.ended(self.pid, waits=True)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forked(Process):
    """`python -m module`, patched by gevent from its beginning, that goes on until the test ends it."""

    def begin(self) -> Any:
        server = _one_server()
        module, *arguments = self.command
        with open(os.devnull) as nothing:
            streams = [nothing.fileno(), self.log.fileno(), self.log.fileno()]
            return _Child(server, server.start(module, arguments, self.folder or Path.cwd(), streams, self.environment))


_server: _Server | None = None


def _one_server() -> _Server:
    """Return the server of this process."""
    global _server
    if _server is None or _server.owner != os.getpid():
        _server = _Server()
    return _server
