"""Starting: what a start waits for goes on side by side, and a stop ends it."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import gevent
from gevent.pool import Pool

from eventbus.context import current_cause
from eventbus.delivery.dispatcher import Dispatcher
from eventbus.delivery.host import Host
from eventbus.engines.base import Engine
from eventbus.errors import BusStateError, ConfigurationError
from eventbus.service import Service

T = TypeVar("T")

_AT_A_TIME = 100
"""Topics that are asked for at a time: each costs a few sockets."""


class Starts:
    """The calls that the starts of one bus wait for."""

    def __init__(self) -> None:
        self._under_way: set[Any] = set()
        self._is_over = False

    def all(self, calls: Iterable[Callable[[], T]]) -> list[T]:
        """Make calls that may block, all at the same time, and return what they return.

        Raises:
            BusStateError: the bus was stopped meanwhile; the calls were ended.
        """
        self._check()
        pool = Pool(_AT_A_TIME)
        greenlets = [pool.spawn(call) for call in calls]
        self._under_way.update(greenlets)
        try:
            gevent.joinall(greenlets, raise_error=True)
            self._check()
            return [value for each in greenlets if (value := each.value) is not None]
        finally:
            gevent.killall(greenlets, block=False)
            self._under_way.difference_update(greenlets)

    def declare(self, engine: Engine, services: Sequence[Service], *, anew: bool) -> Sequence[str]:
        """Make the topics and channels of services; return what did not take them, by name, with the reason."""
        pairs = [(topic, service.channel) for service in services for topic in service.topics]
        self._begin(engine, [service for service in services if service.begin is not None])
        answers = self.all(partial(engine.declare, topic, [channel], anew=anew) for topic, channel in pairs)
        return sorted({said for failed in answers for said in failed})

    def _begin(self, engine: Engine, services: Sequence[Service]) -> None:
        """Make the channels that begin in the past.

        Raises:
            ConfigurationError: the engine keeps no past events, or a service begins in the future.
        """
        begin_at: Any = getattr(engine, "begin_at", None)
        if not services:
            return
        if begin_at is None:
            raise ConfigurationError(
                f"service {services[0].name!r} has a `begin`, and {engine.scheme}:// keeps no past events; sqlite:// and "
                "postgresql:// do"
            )
        self.all(partial(begin_at, topic, each.channel, each.begin) for each in services for topic in each.topics)

    def _check(self) -> None:
        if self._is_over:
            raise BusStateError("the bus was stopped while it started; make a new Bus")

    def end(self) -> None:
        """End what is under way, and let nothing more begin."""
        self._is_over = True
        gevent.killall(list(self._under_way), block=False)


def check_services(services: Sequence[Service], running: Sequence[Service]) -> None:
    """Return if services can be started beside those that run.

    Raises:
        BusStateError: when one is started already, or given twice.
        ConfigurationError: when one has neither a handler nor anything attached, such as an outbox.
    """
    for service in services:
        if any(service is other for other in running) or services.count(service) > 1:
            raise BusStateError(f"service {service.name!r} is started already; start service.replica() for another worker")
        if not service.bindings and not service.attachments:
            raise ConfigurationError(f"service {service.name!r} has no handler; bind one with @service.on(...)")


def bind_inboxes(services: Sequence[Service]) -> None:
    """Tell the inboxes which handlers will run through them."""
    for service in services:
        for binding in service.bindings:
            if binding.inbox is not None:
                binding.inbox.bind(binding.topic, binding.type_name, service.channel)


def make_dispatchers(host: Host, services: Sequence[Service]) -> list[Dispatcher]:
    """Return one for each topic of each service; their handlers see the context variables of now, but no cause."""
    variables = contextvars.copy_context()
    variables.run(current_cause.set, None)
    return [Dispatcher(host, service, topic, variables) for service in services for topic in service.topics]
