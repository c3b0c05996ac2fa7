"""Waking on SQLite: Linux tells when another process wrote to the write-ahead log, so that nobody asks in vain.

Where it does not, the file is asked every few milliseconds whether it has changed, which costs 3 µs each time.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gevent import get_hub

_MODIFY = 0x2
_NONBLOCK = 0o4000
_CLOEXEC = 0o2000000
_SAFETY = 1.0
"""Seconds between two looks although the kernel tells."""
_POLL = 0.01


class FileWatch:
    """Calls back when a file was written to, by anybody.

    Args:
        poll: seconds between two calls in any case; None for what suits.
    """

    def __init__(self, on_change: Callable[[], None], *, poll: float | None) -> None:
        self._on_change = on_change
        self._poll = poll
        self._descriptor = -1
        self._watcher: Any = None
        self._timer: Any = None

    def start(self, path: str) -> None:
        """Watch a file that is there; what was watched before is let go."""
        self.stop()
        self._descriptor = _watch(path) if self._poll is None else -1
        if self._descriptor >= 0:
            self._watcher = get_hub().loop.io(self._descriptor, 1)
            self._watcher.start(self._read)
        every = self._poll or (_SAFETY if self._descriptor >= 0 else _POLL)
        self._timer = get_hub().loop.timer(every, repeat=every)
        self._timer.start(self._on_change)

    def _read(self) -> None:
        with suppress(OSError):
            os.read(self._descriptor, 65536)
        self._on_change()

    def stop(self) -> None:
        """Watch nothing more."""
        self.abandon()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def abandon(self) -> None:
        """In a forked child: the watchers are the parent's."""
        for watcher in (self._watcher, self._timer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._watcher = self._timer = None


def _watch(path: str) -> int:
    """Return a descriptor that can be read when the file was written to; -1 where there is no such thing."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        descriptor: int = library.inotify_init1(_NONBLOCK | _CLOEXEC)
        if descriptor >= 0 and library.inotify_add_watch(descriptor, os.fsencode(path), _MODIFY) < 0:
            os.close(descriptor)
            return -1
        return descriptor
    except (OSError, AttributeError, TypeError):
        return -1
