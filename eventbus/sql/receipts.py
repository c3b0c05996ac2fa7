"""Receipts: how the origin of an event learns that a subscriber's effect is committed.

A broker may lose what it confirmed: nsqd keeps messages in memory (docs/guarantees.md has the figures). So an inbox writes a
receipt in the handler's own transaction, and receipts travel in batches to the topic `<topic>.receipts`. The origin's
outbox keeps each event until all channels that keep an inbox have said that they are done with it. What is missing after
a while is published again, to the missing channels alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from eventbus.errors import ConfigurationError
from eventbus.event import Event
from eventbus.names import check_name
from eventbus.wire.envelope import RECEIPT_TO

TYPE = "eventbus.Receipts"
REPLY = RECEIPT_TO
"""Attribute of an envelope: the topic on which its origin waits for receipts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipts:
    """How an outbox waits for its subscribers.

    Attributes:
        timeout: seconds without a receipt after which an event goes out again; None for the bus's message timeout and 5 s.
        factor: how much longer each further wait is.
        ceiling: longest wait in seconds.
        forget_after: seconds without a sign after which a channel counts as gone, and nothing waits for it any more.
    """

    timeout: float | None = None
    factor: float = 2.0
    ceiling: float = 3600.0
    forget_after: float = 7 * 86400.0

    def __post_init__(self) -> None:
        if (self.timeout is not None and not 0 < self.timeout <= self.ceiling) or self.factor < 1 or self.forget_after <= 0:
            raise ConfigurationError(f"{self!r}: give seconds with 0 < timeout <= ceiling, and factor >= 1")


class ReceiptsGiven(Event):
    """A channel says what it is done with, and since when it is bound; without ids it only introduces itself."""

    topic: str
    channel: str
    since: dict[str, float]
    """By type name: when the channel was bound to it, in seconds since 1970."""
    ids: tuple[str, ...] = Field(default=(), max_length=5000)


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
