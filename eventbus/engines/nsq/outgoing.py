"""Outgoing: one message on its way to as many nsqd as asked."""

from __future__ import annotations


class Outgoing:
    """One message that is to be confirmed."""

    __slots__ = ("alone", "body", "confirmed", "last", "was_sent")

    def __init__(self, body: bytes, *, alone: bool = False) -> None:
        self.body = body
        self.alone = alone
        self.confirmed: frozenset[object] = frozenset()
        self.last: Exception | None = None
        self.was_sent = False
