"""Randomness: the one source of all that is left to chance: ids, the jitter of retries, shuffles.

A bus has the system's; the test harness gives its bus one with a seed, so that a run can be had again as it was.
"""

from __future__ import annotations

import os
from random import Random


class Randomness:
    """Numbers and digits by chance.

    Args:
        seed: where given, everything drawn is the same in each run; otherwise ids come from the operating system.
    """

    __slots__ = ("_digits", "_random", "random", "seed")

    _AT_ONCE = 256
    """Ids whose digits are drawn together: one system call for many."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self._random = Random(seed)
        self.random = self._random.random
        """Returns a number in [0, 1)."""
        self._digits: list[str] = []
        os.register_at_fork(after_in_child=self._forked)

    def digits(self) -> str:
        """Return 20 hexadecimal digits."""
        try:
            return self._digits.pop()
        except IndexError:
            size = 10 * self._AT_ONCE
            text = (os.urandom(size) if self.seed is None else self._random.randbytes(size)).hex()
            self._digits.extend(text[start : start + 20] for start in range(0, 2 * size, 20))
            return self._digits.pop()

    def position(self, count: int) -> int:
        """Return a whole number from 0 to `count - 1`, to put something at."""
        return self._random.randrange(count)

    def _forked(self) -> None:
        self._digits.clear()  # or two processes would make the same ids
        if self.seed is None:
            self._random.seed()


SYSTEM = Randomness()
"""What a process draws from unless it was given another."""
