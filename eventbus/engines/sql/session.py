"""The seam between what the engine does and the database that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar, cast

from gevent.threadpool import ThreadPool

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

    def add_to_log(self, rows: Sequence[tuple[int, float, float, bytes]]) -> None:
        """Insert rows of id, time, due and body."""
        ...

    def notify(self, sender: str) -> None:
        """Tell other processes at the commit that there is something, where the database can."""
        ...

    def lock_channels(self, channels: Sequence[int]) -> None:
        """Keep other transactions from these channels until the end of this one; in the order of their numbers."""
        ...


class Backend(Protocol):
    """One database, as one process reaches it."""

    name: str
    """For messages: where it is, without a password."""
    is_shared: bool
    """Whether several transactions write at a time."""

    @property
    def is_quick(self) -> bool:
        """Whether a transaction that began runs through, and no greenlet is switched in it."""
        ...

    def transact(self, work: Callable[[Session], T], *, durable: bool, deadline: float, collect: Callable[[], None]) -> T:
        """Return what `work` returns once it is committed. Blocks the calling greenlet.

        Args:
            durable: whether the commit must be on the disk before this returns.
            deadline: monotonic instant until which to wait for the turn.
            collect: called in the hub once the turn has come, before `work`, which may run in a thread.

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
        kind: "busy" (it did not begin, since others hold the lock), "conflict" (others were in its way and it was rolled
            back; the same may pass now), "full", "readonly", "gone", "away", "io" (nothing was done), "unknown" (it may be
            committed) or "broken" (the statement itself is wrong).
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def in_thread(threads: ThreadPool, work: Callable[..., T], *arguments: Any) -> T:
    """Return what `work` returns in a thread of a pool, or raise what it raises: the pool would print that."""

    def run() -> tuple[T | None, BaseException | None]:
        try:
            return work(*arguments), None
        except BaseException as error:
            return None, error

    result, error = threads.apply(run)
    if error is not None:
        raise error
    return cast("T", result)
