"""Randomness: the one source of all that is left to chance: ids, the jitter of retries, shuffles.

A bus has the system's; the test harness gives its bus one with a seed, so that a run can be had again as it was.
"""

from __future__ import annotations

import os
from random import Random

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class Randomness:
    """Numbers and digits by chance.

    Args:
        seed: where given, everything drawn is the same in each run; otherwise ids come from the operating system.
    """

    __slots__ = ("_random", "_tails", "random", "seed")

    _AT_ONCE = 256
    """Ids whose tails are made together: one system call for many."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self._random = Random(seed)
        self.random = self._random.random
        """Returns a number in [0, 1)."""
        self._tails: list[str] = []
        os.register_at_fork(after_in_child=self._forked)

    def tail(self) -> str:
        """Return the part of a UUIDv7 that is left to chance, as text after its version (RFC 9562, section 5.7)."""
        try:
            return self._tails.pop()
        except IndexError:
            size = 10 * self._AT_ONCE
            digits = (os.urandom(size) if self.seed is None else self._random.randbytes(size)).hex()
            self._tails.extend(_tail(digits[start : start + 20]) for start in range(0, 2 * size, 20))
            return self._tails.pop()

    def position(self, count: int) -> int:
        """Return a whole number from 0 to `count - 1`, to put something at."""
        return self._random.randrange(count)

    def begin_anew(self, seed: int) -> None:
        """Draw from now on as one that is made with `seed`."""
        self.seed = seed
        self._random.seed(seed)
        self._tails.clear()

    def _forked(self) -> None:
        self._tails.clear()  # or two processes would make the same ids
        if self.seed is None:
            self._random.seed()


def _tail(digits: str) -> str:
    return f"{digits[:3]}-{_VARIANT[digits[3]]}{digits[4:7]}-{digits[7:19]}"


SYSTEM = Randomness()
"""What a process draws from unless it was given another."""
