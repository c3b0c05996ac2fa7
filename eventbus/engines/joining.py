"""Joining: a publish inside a transaction of the caller's own, on an engine that lies in the same database."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

from eventbus.errors import ConfigurationError

T = TypeVar("T")

joined: ContextVar[Any] = ContextVar("eventbus_connection", default=None)
"""The connection in whose transaction this context publishes."""


def joining(engine: Any, of_caller: Any, publish: Callable[[], T]) -> T:
    """Return what `publish` returns, with its messages appended in the transaction of a caller's connection.

    Raises:
        ConfigurationError: the engine lies in no database.
    """
    if getattr(engine, "past", None) is None:
        raise ConfigurationError(
            f"publish(connection=...): {engine.scheme}:// lies in no database; use an Outbox there, or sqlite:// or postgresql://"
        )
    token = joined.set(of_caller)
    try:
        return publish()
    finally:
        joined.reset(token)
