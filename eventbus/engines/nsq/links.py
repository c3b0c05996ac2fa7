"""Links: keep a connection to an address up, for as long as it is wanted."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import gevent
import gevent.event

from eventbus.engines.nsq.addresses import Address
from eventbus.engines.nsq.connection import Connection
from eventbus.engines.nsq.handshake import FeatureRefusedError, describe
from eventbus.runtime.guarded_log import guarded_log

log = guarded_log("eventbus.nsq")

C = TypeVar("C", bound=Connection)

_FIRST_PAUSE = 0.1
_GOOD_AGE = 5.0
"""A connection that lived so many seconds was a success; one that ends sooner lets the next pause grow."""


class Link(Generic[C]):
    """Connects to one address and again whenever the connection ends, with growing pauses, until it is stopped.

    Args:
        connect: opens a connection; called in the link's own greenlet with a callback for its end; may block and raise.
        ceiling: longest pause in seconds.
        on_change: called when the connection came up or went down.
    """

    def __init__(
        self,
        address: Address,
        connect: Callable[[Callable[[Exception], None]], C],
        *,
        ceiling: float,
        on_change: Callable[[], None],
    ) -> None:
        self.address = address
        self.connection: C | None = None
        self.was_tried = gevent.event.Event()
        self.last_error: str | None = None
        self.missed_rounds = 0
        self._connect = connect
        self._ceiling = ceiling
        self._on_change = on_change
        self._went_down = gevent.event.Event()
        self._hurry = gevent.event.Event()
        self._patience = ceiling
        self._greenlet = gevent.spawn(self._run)

    @property
    def is_up(self) -> bool:
        return self.connection is not None and self.connection.is_open

    def _run(self) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            self._went_down.clear()
            try:
                self.connection = self._connect(self._down)
            except Exception as error:
                self._note(error, failures)
            else:
                self.last_error = None
                self.was_tried.set()
                self._on_change()
                self._went_down.wait()
                self.connection = None
                self._on_change()
            self.was_tried.set()
            ended = time.monotonic()
            failures = 0 if time.monotonic() - began > _GOOD_AGE else failures + 1
            # equal jitter: never at once, so that a peer that closes each connection is not hammered
            pause = min(_FIRST_PAUSE * 2.0 ** min(failures, 30), self._ceiling)
            pause *= random.uniform(0.5, 1.0)
            self._hurry.clear()
            if self._hurry.wait(pause):
                began_again = min(pause, self._patience * random.uniform(0.5, 1.0))
                gevent.sleep(max(ended + began_again - time.monotonic(), 0.0))

    def _down(self, reason: Exception) -> None:
        self._note(reason, 0)
        self._went_down.set()

    def _note(self, error: Exception, failures: int) -> None:
        said = describe(error)
        if said != self.last_error or failures % 50 == 0:  # the same again and again is said once in a while
            level = logging.ERROR if isinstance(error, FeatureRefusedError) else logging.WARNING
            log.log(level, "nsqd %s: %s; trying again", self.address, said)
        self.last_error = said

    def hurry(self, patience: float) -> None:
        """Let the pause that is on last `patience` seconds at most, counted from the last attempt.

        A pause after a failure is never given up altogether: an nsqd that comes back must not meet all its clients at once.
        """
        self._patience = patience
        self._hurry.set()

    def stop(self) -> None:
        """End the connection and the trying."""
        self._greenlet.kill(block=False)
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def abandon(self) -> None:
        """In a forked child: try no more. What is open is let go by its owner."""
        self._greenlet.kill(block=False)
        self.connection = None
