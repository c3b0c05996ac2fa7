"""Forks: what a process made before it forked is its own, and no child's.

A forked child has a copy of everything: of the connections, which are the same at the other end, of the watchers in gevent's
loop, and of the greenlets. Whoever holds such things registers here, and is told in each child before anything else runs
there.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakSet

import gevent

from eventbus.errors import BusStateError
from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.forks")


class Owner(Protocol):
    """Something that belongs to the process that made it.

    It may have `quiesce` and `resume` too, called in the parent before and after a fork, for what no copy may be made of.
    """

    def abandon(self) -> None:
        """In a child: let go of everything without a word to anybody. Must not block."""
        ...


_owners: WeakSet[Any] = WeakSet()


def owned(owner: Owner) -> None:
    """Have `owner` told in each child of this process, as long as it lives."""
    _owners.add(owner)


def of_another_process(what: str, make: str) -> BusStateError:
    """Return the error for a child that uses what is its parent's."""
    return BusStateError(f"{what} belongs to the process that this one was forked from; make a new {make} in this process")


def cut_off(descriptor: int) -> None:
    """Let a copied descriptor lead nowhere: nothing can be read or written through it, and its peer hears nothing of it."""
    dead, other = socket.socketpair()
    other.close()
    with dead:
        os.dup2(dead.fileno(), descriptor)


def _tell(method: str, owners: list[Any]) -> None:
    for owner in owners:
        try:
            getattr(owner, method, bool)()
        except Exception:  # one owner's fault must not leave the others in the parent's business
            log.exception("%r: %s failed at a fork", owner, method)


def _in_child() -> None:
    owners = list(_owners)
    if not owners:
        return
    _owners.clear()
    with suppress(Exception):
        gevent.reinit()  # an unpatched fork leaves the loop's epoll shared with the parent
    _tell("abandon", owners)


os.register_at_fork(
    before=lambda: _tell("quiesce", list(_owners)),
    after_in_parent=lambda: _tell("resume", list(_owners)),
    after_in_child=_in_child,
)
