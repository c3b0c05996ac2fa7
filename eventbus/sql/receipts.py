"""Receipts: how the origin of an event learns that a subscriber's effect is committed.

A broker may lose what it confirmed: nsqd keeps messages in memory (docs/guarantees.md has the figures). So an inbox writes a
receipt in the handler's own transaction, and receipts travel in batches to the topic `<topic>.receipts`. The origin's
outbox keeps each event until all channels that keep an inbox have said that they are done with it. What is missing, and
does not lie in the broker any more, is published again, to the missing channels alone.

A receipt is a claim of whoever wrote it, and not a fact: `checked` says what of it may be believed at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from eventbus.errors import ConfigurationError, InvalidNameError
from eventbus.event import Event
from eventbus.names import check_name
from eventbus.wire.envelope import RECEIPT_TO

TYPE = "eventbus.Receipts"
REPLY = RECEIPT_TO
"""Attribute of an envelope: the topic on which its origin waits for receipts."""
HEARTBEAT = 60.0
"""Seconds between two words of a channel that keeps an inbox, whether events come or not."""
ANY = "*"
"""Type name in the register of a channel that is expected whatever it binds."""
MOST_TYPES = 100
MOST_IDS = 5000
_MOST_TEXT = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipts:
    """How an outbox waits for its subscribers.

    Attributes:
        timeout: seconds without a receipt after which the broker is asked whether it still holds an event; what it lost goes
            out again. Where the broker cannot be asked, the bus's message timeout has to pass as well.
        factor: how much longer each further wait for the same event is.
        ceiling: longest wait in seconds.
        forget_after: seconds without a sign after which a channel counts as gone, and nothing waits for it any more. A
            channel gives a sign each minute while one of its processes runs.
    """

    timeout: float | None = None
    factor: float = 2.0
    ceiling: float = 3600.0
    forget_after: float = 7 * 86400.0

    def __post_init__(self) -> None:
        if (self.timeout is not None and not 0 < self.timeout <= self.ceiling) or self.factor < 1 or self.forget_after <= 0:
            raise ConfigurationError(f"{self!r}: give seconds with 0 < timeout <= ceiling, and factor >= 1")


class ReceiptsGiven(Event):
    """A channel says what it is done with, and what it is bound to; without ids it only says that it is there."""

    topic: str
    channel: str
    since: dict[str, float]
    """By type name: when the channel was bound to it, in seconds since 1970."""
    ids: tuple[str, ...] = ()
    is_all: bool = False
    """Whether `since` names all that the channel is bound to, so that what is missing there is bound no more."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a message says that came as receipts; of the right shape and size, and no more is known of it."""

    topic: str
    channel: str
    since: dict[str, float]
    ids: tuple[str, ...]
    is_all: bool = False


def checked(given: Any, topic: str) -> Claim | None:
    """Return what may be looked at in data that came as receipts for `topic`; None where their shape, size or topic is
    wrong.

    Args:
        given: anything with the attributes of `ReceiptsGiven`, of any types.
    """
    since, ids = given.since, given.ids
    if given.topic != topic or not isinstance(since, dict) or not isinstance(ids, list | tuple):
        return None
    if len(since) > MOST_TYPES or len(ids) > MOST_IDS or not isinstance(given.is_all, bool):
        return None
    try:
        check_name(given.channel, kind="channel")
    except (InvalidNameError, TypeError):
        return None
    if not all(_is_text(each) for each in (*since, *ids)):
        return None
    if not all(isinstance(each, int | float) and math.isfinite(each) for each in since.values()):
        return None
    return Claim(topic, given.channel, {name: float(each) for name, each in since.items()}, tuple(ids), given.is_all)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MOST_TEXT and "\0" not in value


def receipt_topic(topic: str) -> str:
    """Return the topic on which receipts for events of `topic` travel.

    Raises:
        InvalidNameError: when the name becomes too long.
    """
    return check_name(f"{topic}.receipts", kind="topic")


def receipts_given_on(reply_topic: str) -> type[ReceiptsGiven]:
    """Return the event class bound to one receipt topic."""

    class Bound(ReceiptsGiven, topic=reply_topic, name=TYPE):
        pass

    return Bound


def claimed_on(reply_topic: str) -> type[Event]:
    """Return the view that takes whatever comes on a receipt topic, for `checked` to judge."""

    class Claimed(Event, topic=reply_topic, name=TYPE):
        topic: Any = None
        channel: Any = None
        since: Any = None
        ids: Any = ()
        is_all: Any = False

    return Claimed
