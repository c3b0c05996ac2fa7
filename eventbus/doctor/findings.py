"""Findings: what a check says, in one line and with the way to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; no scripts care."""
    WARNING = "warning"
    """Works now and will bite."""
    FAULT = "fault"
    """Does not work, or loses events."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found.

    Attributes:
        check: which check, in a word that scripts can look for.
        text: what is there, with its figures.
        mend: what to do; empty where all is well.
    """

    level: Level
    check: str
    text: str
    mend: str = ""


def ok(check: str, text: str) -> Finding:
    return Finding(Level.OK, check, text)


def note(check: str, text: str, mend: str = "") -> Finding:
    return Finding(Level.NOTE, check, text, mend)


def warning(check: str, text: str, mend: str) -> Finding:
    return Finding(Level.WARNING, check, text, mend)


def fault(check: str, text: str, mend: str) -> Finding:
    return Finding(Level.FAULT, check, text, mend)
