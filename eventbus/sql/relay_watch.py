"""Relay watch: says so when events are committed and nothing lets the relay run.

The relay is a greenlet of the thread that attached the outbox. Where that thread blocks without gevent's patches, as in a
web server of threads, it never has its turn, and rows would wait in silence. Only another thread can see that.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from gevent import monkey

from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.sql")

_AFTER = 3.0
_EVERY = 60.0


class RelayWatch:
    """Looks after a relay once in a while, when it was woken.

    Args:
        name: of the outbox, for people.
        rounds: returns how many rounds the relay has begun.
        poll: seconds between two rounds when nothing happens.
    """

    def __init__(self, name: str, rounds: Callable[[], int], poll: float) -> None:
        self._name = name
        self._rounds = rounds
        self._after = max(_AFTER, 2 * poll)
        self._next = 0.0

    def woken(self) -> None:
        """Learn that there is something to do. May be called from any thread, for each event."""
        now = monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY
        start_new_thread = monkey.get_original("_thread", "start_new_thread")
        start_new_thread(self._look, (self._rounds(),))

    def _look(self, before: int) -> None:
        monkey.get_original("time", "sleep")(self._after)
        if self._rounds() == before:
            log.error(
                "%s: events wait, and its relay has not run for %g s: the thread that attached it blocks without gevent. "
                "Run the program under gevent (gunicorn -k gevent, or gevent.monkey.patch_all() first), or the relay in a "
                "process of its own (eventbus run, with service.attach(outbox))",
                self._name,
                self._after,
            )
