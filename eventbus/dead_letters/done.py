"""Done: how the tools tell a database that keeps dead letters what became of one.

Letters of handlers with an inbox lie in that service's database, and the broker has copies. Whoever replays or discards
such a copy says so on `<topic>.<channel>.done`, where the service listens.
"""

from __future__ import annotations

from eventbus.event import Event
from eventbus.names import dead_letter_topic

TYPE = "eventbus.LettersDone"
KEPT = "kept"
"""Attribute of a dead letter that a database keeps."""


class LettersDone(Event):
    """Dead letters were sent to their channel again, or thrown away."""

    ids: tuple[str, ...]
    """Ids of their events."""
    is_replayed: bool


def letters_done_on(topic: str, channel: str) -> type[LettersDone]:
    """Return the event class bound to where the tools tell of the letters of one channel."""

    class Bound(LettersDone, topic=f"{dead_letter_topic(topic, channel).removesuffix('.dead')}.done", name=TYPE):
        pass

    return Bound
