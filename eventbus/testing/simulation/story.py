"""Story: what happened in one schedule, step by step, for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from eventbus.runtime.redaction import one_line
from eventbus.wire.envelope import PERSONAL, Envelope

_WIDTH = 72


@dataclass(slots=True)
class Step:
    """One line of a story.

    Attributes:
        text: what happened.
        effects: what it changed.
        is_fault: whether it was made to go wrong here.
    """

    text: str
    effects: list[str] = field(default_factory=list)
    is_fault: bool = False

    def written(self, number: int) -> str:
        """Return it as a line."""
        end = "  <- fault" if self.is_fault else f"  effect: {', '.join(self.effects)}" if self.effects else ""
        return f"{number:>3}  {self.text:<{_WIDTH}}{end}".rstrip()


def written(steps: Sequence[Step]) -> str:
    """Return steps as lines with numbers."""
    return "\n".join(each.written(number) for number, each in enumerate(steps, 1))


def name_of(envelope: Envelope) -> str:
    """Return how an event is called in a story: its type, and the first of its fields that says which one it is."""
    data = envelope.data if isinstance(envelope.data, dict) else {}
    hidden = str((envelope.extensions or {}).get(PERSONAL, "")).split(",")
    for key, value in data.items():
        if key not in hidden and isinstance(value, str | int) and not isinstance(value, bool):
            return f"{one_line(envelope.type, most=60)} {_short(value)}"
    return one_line(envelope.type, most=60)


def _short(value: Any) -> str:
    text = str(value)
    try:
        return str(UUID(text))[-6:] if len(text) == 36 else one_line(text, most=24)
    except ValueError:
        return one_line(text, most=24)
