"""Forks: what a process made before it forked is its own, and no child's.

A forked child has a copy of everything: of the connections, which are the same at the other end, of the watchers in gevent's
loop, and of the greenlets. Whoever holds such things registers here, and is told in each child before anything else runs
there.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakSet

import gevent

log = logging.getLogger("eventbus.forks")


class Owner(Protocol):
    """Something that belongs to the process that made it."""

    def abandon(self) -> None:
        """In a child: let go of everything without a word to anybody. Must not block."""
        ...


_owners: WeakSet[Any] = WeakSet()


def owned(owner: Owner) -> None:
    """Have `owner` told in each child of this process, as long as it lives."""
    _owners.add(owner)


def _in_child() -> None:
    if not _owners:
        return
    with suppress(Exception):
        gevent.reinit()  # an unpatched fork leaves the loop's epoll shared with the parent
    for owner in list(_owners):
        try:
            owner.abandon()
        except Exception:  # one owner's fault must not leave the others in the parent's business
            log.exception("%r could not be abandoned in the forked child", owner)
    _owners.clear()


os.register_at_fork(after_in_child=_in_child)
