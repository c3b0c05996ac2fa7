"""Running `eventbus` to its end, as a process of its own, without the second of processor time that its start takes."""

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
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

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
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),))
        atexit.register(self._end)

    def run(self, arguments: tuple[str, ...], folder: Path, given: bytes, environment: Mapping[str, str]) -> Done:
        assert "EVENTBUS_FAILPOINTS" not in environment, "they are read when the library is loaded: start a process"
        request = json.dumps({"arguments": arguments, "folder": str(folder), "environment": dict(environment)})
        source, sink = os.pipe()
        feeder = threading.Thread(target=_feed, args=(sink, given))
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            socket.send_fds(self._link, [request.encode()], [source, out.fileno(), err.fileno()])
            os.close(source)
            feeder.start()
            process = int(self._link.recv(64))
            try:
                code = int(self._link.recv(64))
            except TimeoutError:
                os.kill(process, signal.SIGKILL)
                raise AssertionError(f"eventbus {' '.join(arguments)} has not ended within {PATIENCE:g} s") from None
            finally:
                feeder.join()
            return Done(code, _text(out), _text(err))

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


_server: _Server | None = None


def _one_server() -> _Server:
    """Return the server of this process."""
    global _server
    if _server is None or _server.owner != os.getpid():
        _server = _Server()
    return _server
