"""Policy: whether what is said beside a handler can work, found out when it is bound and not at its first failure."""

from __future__ import annotations

from typing import Any

from eventbus.errors import HandlerDefinitionError
from eventbus.handlers.binding import Batch
from eventbus.retry import Retry


def check_policy(where: str, *, retry: Any, concurrency: Any, timeout: Any, batch: Any, inbox: Any) -> None:
    """Look at the arguments of `Service.on`.

    Args:
        where: for people, as `service: on(Event)`.

    Raises:
        HandlerDefinitionError: names the argument that is wrong and what to write instead.
    """
    if retry is not None and not isinstance(retry, Retry):
        instead = f"Retry(attempts={retry})" if _is_whole(retry) and retry >= 1 else "a Retry, such as Retry(attempts=3)"
        if retry is False or (_is_whole(retry) and retry < 1):
            instead = "Retry(attempts=1) for no second attempt"
        raise HandlerDefinitionError(f"{where}: retry={retry!r}: give {instead}")
    if not _is_whole(concurrency) or concurrency < 1:
        raise HandlerDefinitionError(f"{where}: concurrency={concurrency!r}: give a whole number, 1 or more")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
        raise HandlerDefinitionError(f"{where}: timeout={timeout!r}: give seconds as a number above 0")
    if batch is not None and not isinstance(batch, Batch):
        instead = f"Batch(size={batch})" if _is_whole(batch) and batch >= 1 else "a Batch, such as Batch(size=100)"
        raise HandlerDefinitionError(f"{where}: batch={batch!r}: give {instead}")
    if inbox is not None and not (hasattr(inbox, "handle") and hasattr(inbox, "context_type")):
        raise HandlerDefinitionError(f"{where}: inbox={inbox!r}: give an Inbox, such as eventbus.sql.Inbox(database)")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
