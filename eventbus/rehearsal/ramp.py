"""Ramp: dead letters are replayed 1, then 10, 100 and all, and each step waits for what became of the one before.

What became of them the services tell (`eventbus.outcomes`). The first that fails again ends it: what made forty letters
makes forty more, and one is enough to see it.
"""

from __future__ import annotations

import getpass
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gevent
import gevent.event

from eventbus.dead_letters import DeadLetter, DeadLetters
from eventbus.dead_letters.mending import Where
from eventbus.errors import EventBusError
from eventbus.outcomes import Batch, Record, listen
from eventbus.runtime.guarded_log import guarded_log
from eventbus.wire.codec import CODECS
from eventbus.wire.envelope import Envelope
from eventbus.wire.identity import InstantWriter, new_id

if TYPE_CHECKING:
    from eventbus.bus import Bus

log = guarded_log("eventbus.rehearsal")

STEPS: Sequence[int | None] = (1, 10, 100, None)
"""Letters of each step; None for all that are left."""
OPERATOR = "eventbus.operator"
"""The topic that keeps who did what, and when."""
OPERATED = "eventbus.Operated"
_BEFORE = 1.5
"""Seconds in which services hear that somebody listens."""
_WELL = frozenset({"handled", "expired", "unhandled"})
_ILL = frozenset({"retried", "parked", "dropped"})


@dataclass(frozen=True, slots=True)
class Step:
    """One step and what came of it.

    Attributes:
        replayed: how many letters were sent again.
        handled: how many of them were handled.
        failed: what is told of the first that failed again, as `SMTPServerBusy at mailer.py:88 in send`; None if none did.
        silent: of how many nobody told anything in time.
        left: letters that are still parked and belong to the choice.
    """

    replayed: int
    handled: int
    failed: str | None
    silent: int
    left: int

    @property
    def is_well(self) -> bool:
        """Whether the next step may be taken."""
        return self.failed is None and not self.silent


def ramp(
    bus: Bus, letters: DeadLetters, where: Where | None = None, *, by: str, patience: float = 60.0, most: int | None = None
) -> Iterator[Step]:
    """Replay letters step by step; yield each step once it is known what came of it. Ends where one is not well.

    Args:
        where: which letters; all unless given.
        by: who does it, for the operators' events; see `somebody`.
        patience: seconds to wait for word of each step, counted from the last word.
        most: letters at most, in all steps together.

    Raises:
        ReplayError, PublishError: as `DeadLetters.replay`; what was sent before is sent.
    """
    told: dict[str, Record] = {}
    came = gevent.event.Event()

    def take(batch: Batch) -> None:
        for each in batch.records:
            is_word = each.outcome in _WELL or each.outcome in _ILL
            if is_word and (each.topic, each.channel) == (letters.topic, letters.channel):
                told[each.id] = each
                came.set()

    done: set[str] = set()
    listening = listen(bus, take, "ramp")
    try:
        gevent.sleep(_BEFORE)
        for size in STEPS:
            left = None if most is None else most - len(done)
            limit = left if size is None else size if left is None else min(size, left)
            if limit == 0:
                return
            told.clear()
            sent = _replay(letters, where, limit, done)
            if not sent:
                return
            _wait(sent, told, came, patience)
            step = _step(sent, told, sum(_fits(each, where, done) for each in letters.list(limit=10_000)))
            note(bus, by, "replay", letters, {"replayed": step.replayed, "handled": step.handled, "failed": step.failed})
            yield step
            if not step.is_well:
                return
    finally:
        listening.close()


def _replay(letters: DeadLetters, where: Where | None, limit: int | None, done: set[str]) -> list[str]:
    sent: list[str] = []
    letters.replay(limit=limit, where=lambda each: _fits(each, where, done), on_each=lambda letter: sent.append(letter.id))
    done.update(sent)
    return sent


def _fits(letter: DeadLetter, where: Where | None, done: set[str]) -> bool:
    return letter.id not in done and (where is None or where(letter))


def _wait(sent: Sequence[str], told: dict[str, Record], came: gevent.event.Event, patience: float) -> None:
    while not all(each in told for each in sent) and not any(each.outcome in _ILL for each in told.values()):
        came.clear()
        if not came.wait(patience):
            return


def _step(sent: Sequence[str], told: dict[str, Record], left: int) -> Step:
    known = [told[each] for each in sent if each in told]
    failed = next((each for each in known if each.outcome in _ILL), None)
    text = None
    if failed is not None:
        text = f"{failed.error or failed.outcome}" + (f" at {failed.place}" if failed.place else "")
    handled = sum(each.outcome in _WELL for each in known)
    return Step(len(sent), handled, text, 0 if failed is not None else len(sent) - len(known), left)


# -- who did what -------------------------------------------------------------------------------------------------------


def somebody() -> str:
    """Return the name of who runs this process, as `ops@host`."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may have a user without a name
        name = "unknown"
    return f"{name}@{socket.gethostname()}"


def note(bus: Bus, by: str, action: str, letters: DeadLetters, details: dict[str, Any]) -> None:
    """Publish an operators' event; a fault is logged, for what was done is done."""
    now = time.time()
    data = {"by": by, "action": action, "topic": letters.topic, "channel": letters.channel, **details}
    body = CODECS["msgpack"]().encode(Envelope(new_id(now), bus.source, OPERATED, InstantWriter().write(now), data))
    try:
        bus.engine.publish(OPERATOR, body, delay=0.0, timeout=bus.publish_timeout)
    except EventBusError as error:
        log.warning("%s by %s could not be noted on %s: %s", action, by, OPERATOR, error)
