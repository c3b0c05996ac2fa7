"""Difference: one thing that a writer may send and a reader refuses."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum

_PLAIN = re.compile(r"[^.\[\]{}\"`\s]+")


def step(name: str) -> str:
    """Return the name of a field as a part of a path: quoted where it looks like a path itself."""
    return name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=False)


class Kind(Enum):
    """What is wrong between writer and reader."""

    MISSING = "missing"
    """The reader needs a field that the writer never sends."""
    OPTIONAL = "optional"
    """The reader needs a field that the writer may leave out."""
    TYPE = "type"
    VALUE = "value"
    """An enum value, or a variant of a union, that the reader does not know."""
    BOUND = "bound"
    """Length, size or number beyond what the reader takes."""
    FORM = "form"
    """Another format, pattern or encoding."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that the writer may send and the reader refuses.

    Attributes:
        path: the field, as `lines[].quantity`; empty for the event itself.
        reason: in words, for a sentence that begins with the field.
    """

    path: str
    kind: Kind
    reason: str

    def __str__(self) -> str:
        return f"field `{self.path}` {self.reason}" if self.path else f"the event {self.reason}"
