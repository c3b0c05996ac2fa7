"""Engines: what carries the bytes. Found by the scheme of the bus URL, imported only when asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from urllib.parse import urlsplit

from eventbus.engines.base import (
    ChannelStats,
    Delivery,
    Engine,
    Log,
    Past,
    Receiver,
    Subscription,
    TopicStats,
)
from eventbus.engines.url import read_options
from eventbus.errors import UnknownEngineError
from eventbus.runtime.clock import Clock

__all__ = [
    "ChannelStats",
    "Delivery",
    "Engine",
    "Log",
    "Past",
    "Receiver",
    "Subscription",
    "TopicStats",
    "open_engine",
    "read_options",
]

BUILT_IN = {
    "memory": "eventbus.engines.memory:open_memory",
    "nsq": "eventbus.engines.nsq.engine:open_nsq",
    "nsq+direct": "eventbus.engines.nsq.engine:open_nsq",
    "postgresql": "eventbus.engines.sql.engine:open_sql",
    "sqlite": "eventbus.engines.sql.engine:open_sql",
}
"""Scheme to factory; other distributions add theirs as entry points of the group `eventbus.engines`."""


def open_engine(url: str, *, clock: Clock | None = None) -> Engine:
    """Return the engine that serves `url`.

    Raises:
        UnknownEngineError: when no engine serves its scheme; names those that are known.
        ConfigurationError: when the engine refuses the rest of the URL.
    """
    scheme = urlsplit(url).scheme
    factories = dict(BUILT_IN)
    if scheme not in factories:
        factories |= {point.name: point.value for point in entry_points(group="eventbus.engines")}
    if scheme not in factories:
        known = ", ".join(f"{name}://" for name in sorted(factories))
        raise UnknownEngineError(f"bus URL: no engine serves {scheme or 'a URL without scheme'!r}; known are {known}")
    module, _, attribute = factories[scheme].partition(":")
    engine: Engine = getattr(import_module(module), attribute)(url, clock=clock)
    return engine
