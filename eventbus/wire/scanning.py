"""Scanning: the reader in C, where it was built and is wanted (docs/decisions/0025).

It is never needed: what it takes the readers in Python take as well, with the same result.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

Scan = Callable[[bytes, int, int, int], tuple[Any, ...] | None]
"""From a body, most depth, most containers and most entries of one to the arguments of an Envelope; None: not plain."""

PURE = "EVENTBUS_PURE"
"""Variable that keeps the extension from being built and from being used, set to anything but nothing."""


def _load() -> Scan | None:
    if os.environ.get(PURE):
        return None
    try:
        found: Scan = import_module("eventbus.wire._scan").scan
    except ImportError:  # not built here, or for another system
        return None
    return found


scan = _load()
READER = "Python" if scan is None else "C"
"""What reads envelopes here first."""
