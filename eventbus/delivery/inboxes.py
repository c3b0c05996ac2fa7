"""Inboxes: those of one topic of one service, and what they are told beside what their handlers do."""

from __future__ import annotations

from eventbus.dead_letters.parking import Parking
from eventbus.delivery.received import Source
from eventbus.engines.base import Delivery
from eventbus.wire.envelope import REPEATED, Envelope


class Inboxes:
    """The inboxes of one topic of one service, by the type of event that they take."""

    def __init__(self, source: Source, topic: str) -> None:
        self._source = source
        self._by_type = {
            binding.type_name: binding.inbox
            for binding in source.service.bindings
            if binding.topic == topic and binding.inbox is not None
        }
        # answers for what no handler takes: whoever waits for this channel waits for all that it keeps an inbox for
        self._first = next(iter(self._by_type.values()), None)

    def is_stray_copy(self, envelope: Envelope) -> bool:
        """Whether an event was sent again for the inbox that this channel had once: its handler would act a second time."""
        return envelope.extensions is not None and REPEATED in envelope.extensions and envelope.type not in self._by_type

    def answer(self, envelope: Envelope, delivery: Delivery) -> None:
        """Tell whoever waits for this channel that the event needs nothing here."""
        if self._first is not None and envelope.extensions is not None:
            self._first.answered(self._source.make_context(envelope, delivery, delivery.attempts))

    def keep(self, parking: Parking, letter: bytes) -> bool:
        """Give a dead letter to the inbox of its handler, whose database keeps it; return whether there is one.

        Raises:
            InboxUnavailableError: it could not be kept.
        """
        envelope = parking.envelope
        inbox = None if envelope is None else self._by_type.get(envelope.type)
        if inbox is None or envelope is None:
            return False
        inbox.park(self._source.make_context(envelope, parking.delivery, parking.attempts), letter)
        return True
