"""Sight: what of an event a tool may show. Personal fields are hidden unless they are asked for.

Which fields are personal the event says itself (`eventbus/wire/personal.py`), so that no class is needed here. A text that
a handler's error or refusal has may quote any of them, so it is hidden with them: type, place and kind of failure stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eventbus.dead_letters.letter import DeadLetter
from eventbus.errors import DecodeError
from eventbus.wire.envelope import PERSONAL, Envelope
from eventbus.wire.personal import hide

_UNSHOWN = "(hidden by --no-data)"


@dataclass(frozen=True, slots=True)
class Sight:
    """What is shown of events.

    Attributes:
        with_personal: personal fields too.
        with_data: data at all.
    """

    with_personal: bool = False
    with_data: bool = True

    def data(self, envelope: Envelope) -> Any:
        """Return what may be shown of an event's data."""
        if not self.with_data:
            return _UNSHOWN
        paths = _personal(envelope)
        return hide(envelope.data, paths) if paths and not self.with_personal else envelope.data

    def attributes(self, envelope: Envelope) -> dict[str, Any]:
        """Return an event's attributes with what may be shown of its data."""
        return {**envelope.attributes("application/json"), "data": self.data(envelope)}

    def texts(self, letter: DeadLetter) -> tuple[str, str | None]:
        """Return what may be shown of a dead letter's reason and of its error."""
        if self._shows_texts(letter):
            return letter.reason, letter.error
        return letter.reason.partition(":")[0], letter.error and letter.error.partition(":")[0]

    def _shows_texts(self, letter: DeadLetter) -> bool:
        if not self.with_data or self.with_personal:
            return self.with_data
        try:
            return not _personal(letter.envelope())
        except DecodeError:
            return True

    def hex(self, body: bytes) -> str:
        """Return what may be shown of bytes that are no event: nobody knows what is personal in them."""
        return body.hex() if self.with_data else _UNSHOWN


USUAL = Sight()
"""What is shown unless something else is asked for."""


def _personal(envelope: Envelope) -> str:
    paths = (envelope.extensions or {}).get(PERSONAL)
    return paths if isinstance(paths, str) else ""
