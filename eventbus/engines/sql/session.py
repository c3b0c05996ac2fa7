"""The seam between what the engine does and the database that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Row = tuple[Any, ...]


class Session(Protocol):
    """The statements of one transaction. Parameters are marked by `?` in every dialect."""

    now: float
    """When the transaction began, in seconds since 1970, by the clock that all processes on the database share."""

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return all rows."""
        ...

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Return how many rows were changed."""
        ...

    def many(self, statement: str, parameters: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each of several rows of parameters."""
        ...

    def run_of_log(self, after: int, last: int, most: int, most_bytes: int) -> list[Row]:
        """Return id, time, due and body of what lies behind `after` up to `last`, in order: `most` messages at most, and
        once `most_bytes` are passed no more."""
        ...

    def shrink(self) -> bool:
        """Give a little of the space of what was removed back to the system; return whether there may be more."""
        ...

    def lock_channel(self, channel: int) -> None:
        """Keep other transactions from this channel until the end of this one."""
        ...


class Backend(Protocol):
    """One database, as one process reaches it."""

    name: str
    """For messages: where it is, without a password."""

    def transact(self, work: Callable[[Session], T], *, durable: bool, deadline: float) -> T:
        """Return what `work` returns once it is committed. Blocks the calling greenlet.

        Args:
            durable: whether the commit must be on the disk before this returns.
            deadline: monotonic instant until which to wait for the turn.

        Raises:
            Trouble: says what is known of the outcome.
        """
        ...

    def read(self, work: Callable[[Session], T]) -> T:
        """Return what `work` returns, in a transaction that only reads."""
        ...

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call back when another process may have written."""
        ...

    def has_changed(self) -> bool:
        """Whether another process may have committed since this was asked last."""
        ...

    def close(self) -> None:
        """Close connections. Idempotent."""
        ...

    def quiesce(self) -> None:
        """Before a fork: have nothing open that no copy may be made of."""
        ...

    def abandon(self) -> None:
        """In a forked child: let go without a word."""
        ...


class Trouble(Exception):  # noqa: N818 - not for users: it becomes one of the library's errors
    """A transaction failed.

    Attributes:
        kind: "busy" (nothing was done; others hold the lock), "full", "readonly", "gone", "away" (nothing was done),
            "unknown" (it may be committed) or "broken" (the statement itself is wrong).
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
