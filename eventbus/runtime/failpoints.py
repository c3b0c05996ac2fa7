"""Failpoints: named places at which a test or a torture run can make this process fail.

Some faults fit only into a window of microseconds, such as a crash between a commit and the answer to the broker. Code names
such a place with `hit("after_commit_before_finish")`; nothing happens there unless EVENTBUS_FAILPOINTS says so::

    EVENTBUS_FAILPOINTS="after_commit_before_finish=kill@0.01,before_commit=sleep:2"

Each entry is `name=action[@probability]`: `kill` ends the process at once as `kill -9` does, `raise` raises
`FailpointError`, `sleep:SECONDS` waits. `PLACES` lists the names.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

from eventbus.errors import ConfigurationError, EventBusError

VARIABLE = "EVENTBUS_FAILPOINTS"

PLACES: dict[str, str] = {
    "after_claim": "inbox: the event is claimed, its handler has not run",
    "before_commit": "inbox: the handler has run, its transaction is not committed",
    "after_commit_before_finish": "inbox: committed, the broker has no answer yet",
    "after_park_before_receipt": "inbox: parked as a dead letter, the origin does not know yet",
    "relay_after_lease": "outbox: rows are taken by this relay, nothing is sent",
    "relay_after_publish": "outbox: the broker has confirmed, the rows are not marked",
    "receipts_after_take": "receipts: taken from the table, not sent",
    "receipts_after_publish": "receipts: sent and confirmed",
}
"""Every failpoint of the library, and what is done and not done there."""


class FailpointError(EventBusError):
    """Raised by a failpoint that is set to `raise`."""


_set: dict[str, Callable[[], None]] = {}


def hit(name: str) -> None:
    """Fail here, if somebody asked for it."""
    if _set and name in _set:
        _set[name]()


def set_failpoint(name: str, action: Callable[[], None] | None) -> None:
    """Let `action` happen at a place; None takes it away again.

    Raises:
        ConfigurationError: when there is no such place.
    """
    if name not in PLACES:
        raise ConfigurationError(f"failpoint {name!r}: unknown; known are {', '.join(PLACES)}")
    if action is None:
        _set.pop(name, None)
    else:
        _set[name] = action


def read_failpoints(text: str) -> None:
    """Set what `text` (the form of EVENTBUS_FAILPOINTS) says.

    Raises:
        ConfigurationError: names the entry that is wrong.
    """
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, rest = entry.partition("=")
        action, _, share = rest.partition("@")
        try:
            probability = float(share or 1.0)
            set_failpoint(name, _sometimes(_action(name, action), probability))
        except ValueError:
            raise ConfigurationError(
                f"{VARIABLE}: {entry!r}; write name=kill, name=raise or name=sleep:SECONDS, and @PROBABILITY if not always"
            ) from None


def _action(name: str, text: str) -> Callable[[], None]:
    kind, _, argument = text.partition(":")
    if kind == "kill" and not argument:
        return lambda: os.kill(os.getpid(), signal.SIGKILL)
    if kind == "raise" and not argument:
        return lambda: _raise(name)
    if kind == "sleep":
        seconds = float(argument)
        return lambda: time.sleep(seconds)
    raise ValueError(text)


def _raise(name: str) -> None:
    raise FailpointError(f"failpoint {name} is set to raise")


def _sometimes(action: Callable[[], None], probability: float) -> Callable[[], None]:
    def act() -> None:
        if random.random() < probability:
            action()

    return act


read_failpoints(os.environ.get(VARIABLE, ""))
