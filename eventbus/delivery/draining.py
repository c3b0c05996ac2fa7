"""Draining: how a bus ends: nothing new is taken, what runs may end, then what is attached. What was taken is answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gevent

from eventbus.attachments import Attachment
from eventbus.delivery.dispatcher import Dispatcher

_TO_UNWIND = 1.0
"""Seconds that an interrupted handler has for its `finally` blocks."""


@dataclass(frozen=True, slots=True)
class DrainReport:
    """What a stop found.

    Attributes:
        finished: deliveries whose handlers ended within the grace.
        returned: deliveries given back that no handler had begun.
        interrupted: deliveries given back whose handlers were interrupted.
        seconds: how long the stop took.
    """

    finished: int
    returned: int
    interrupted: int
    seconds: float


def drain(
    dispatchers: Sequence[Dispatcher], attachments: Sequence[Attachment[Any]], *, grace: float, timeout: float
) -> DrainReport:
    """Stop the intake, wait up to `grace` seconds for what runs, interrupt the rest, and stop what is attached.

    Args:
        timeout: seconds for the engine to be told.
    """
    began = time.monotonic()
    deadline = began + grace
    for each in dispatchers:
        each.hold()  # before anything that may wait, so that no handler begins meanwhile
    handled = sum(each.handled for each in dispatchers)
    for attachment in reversed(attachments):
        attachment.stop_intake()
    stops = [gevent.spawn(each.stop_intake, timeout) for each in dispatchers]
    gevent.joinall(stops)
    returned = sum(each.value or 0 for each in stops)
    _wait(dispatchers, deadline)
    interrupted = sum(each.execution.running.interrupt_all() for each in dispatchers)
    _wait(dispatchers, time.monotonic() + _TO_UNWIND)
    for each in dispatchers:
        each.give_up()
    finished = sum(each.handled for each in dispatchers) - handled
    # the last first: an API that was attached after its outbox may add to it until its last request has ended
    for attachment in reversed(attachments):
        attachment.stop(max(deadline - time.monotonic(), _TO_UNWIND))
    return DrainReport(finished, returned, interrupted, time.monotonic() - began)


def _wait(dispatchers: Sequence[Dispatcher], deadline: float) -> None:
    while any(each.is_busy for each in dispatchers) and time.monotonic() < deadline:
        gevent.sleep(0.005)


def from_outside(dispatchers: Sequence[Dispatcher], stop: Callable[[], DrainReport]) -> DrainReport:
    """Call `stop`; in a handler, which it would wait for, in a greenlet of its own, with a report of nothing."""
    if any(gevent.getcurrent() in each.execution.running.by_greenlet for each in dispatchers):
        gevent.spawn(stop)
        return DrainReport(0, 0, 0, 0.0)
    return stop()


def abandon(dispatchers: Sequence[Dispatcher], attachments: Sequence[Attachment[Any]]) -> None:
    """In a forked child: end what goes on here without a word to anybody."""
    for dispatcher in dispatchers:
        dispatcher.abandon()
    for attachment in attachments:
        getattr(attachment, "abandon", bool)()
