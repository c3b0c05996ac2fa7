"""Seed: where the chance of a test comes from, so that a run can be had again."""

from __future__ import annotations

import os
from random import SystemRandom

from eventbus.errors import ConfigurationError

VARIABLE = "EVENTBUS_SEED"


def seed_of(given: int | None) -> int:
    """Return the seed that was given, that of EVENTBUSVARIABLE, or one by chance.

    Raises:
        ConfigurationError: the variable holds no whole number.
    """
    if given is not None:
        return given
    text = os.environ.get(VARIABLE)
    if text is None:
        return SystemRandom().randrange(2**32)
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(f"{VARIABLE}={text!r}: give a whole number") from None
