"""Ports of the loopback that nobody else takes, also not another process of these tests.

To bind port 0 and close again tells no port that is still free a moment later: another test gets it, or the kernel gives it
to an outgoing connection. So ports come from below the kernel's own range, and each is locked in a file that all tests of
this machine share, until the process ends.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from itertools import count
from pathlib import Path

HOST = "127.0.0.1"
FIRST, LAST = 10_000, 32_000
_LOCKS = Path(tempfile.gettempdir()) / "ports-of-eventbus-tests.lock"


class _Ports:
    """The ports of this process."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._locks = os.open(_LOCKS, os.O_RDWR | os.O_CREAT, 0o666)
        # processes that start at the same time begin to look at different places
        self._steps = count(os.getpid() * 101)

    def take(self) -> int:
        for _ in range(LAST - FIRST):
            port = FIRST + next(self._steps) % (LAST - FIRST)
            try:
                fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            except OSError:
                continue  # another process has it
            with socket.socket() as probe:
                try:
                    probe.bind((HOST, port))
                except OSError:
                    continue
            return port
        raise RuntimeError(f"no port between {FIRST} and {LAST} is free")


_ports: _Ports | None = None


def free_port() -> int:
    """Return a port that is free, and that nobody else is told until this process ends."""
    global _ports
    if _ports is None or _ports._owner != os.getpid():  # locks do not outlive a fork
        _ports = _Ports()
    return _ports.take()
