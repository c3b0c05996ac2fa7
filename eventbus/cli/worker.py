"""Worker: one process that runs services: made, started, watched, drained."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
import gevent.event
import gevent.os

from eventbus.bus import Bus
from eventbus.cli.expecting import expected_channels, tell
from eventbus.cli.session import INTERRUPTED
from eventbus.contracts.targets import import_from, services_of
from eventbus.errors import BrokerUnreachableError, DatabaseUnreachableError, EventBusError, TablesNotReadyError
from eventbus.observe import Observation
from eventbus.observe.hub import LIMIT
from eventbus.observe.logs import LogFormat
from eventbus.rehearsal.worker import Rehearsals
from eventbus.service import Service
from eventbus.settings import BusSettings
from eventbus.wire.packing import LIBRARY

log = logging.getLogger("eventbus.run")

VARIABLE = "EVENTBUS_WORKER_PLACE"
"""Set for the processes of a supervisor; not for people."""

_LOOK = 0.1
_QUIET = 0.3
"""Seconds for which nothing may be there before a burst ends: what a handler publishes takes a moment to come."""
_QUIET_UNSEEN = 1.0
"""The same where the broker's counts cannot be had."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What `eventbus run` was asked for; durations in seconds."""

    services: tuple[str, ...]
    bus: str | None = None
    concurrency: int | None = None
    app_dir: Path | None = None
    factory: bool = False
    burst: bool = False
    max_messages: int | None = None
    health: str | None = None
    grace: float | None = None
    wait: float = 10.0
    log_format: LogFormat = "auto"
    log_level: str = "info"
    blocking_limit: float = LIMIT


@dataclass(frozen=True, slots=True)
class Place:
    """A worker's place under its supervisor.

    Attributes:
        number: which worker it is, from 1.
        socket: path on which it serves its health pages.
        parent: descriptor of a pipe that ends when the supervisor does.
    """

    number: int
    socket: str
    parent: int

    @classmethod
    def from_environment(cls) -> Place | None:
        """Return the place that a supervisor gave, if there is one."""
        text = os.environ.pop(VARIABLE, None)
        return None if text is None else cls(**json.loads(text))

    def to_environment(self) -> dict[str, str]:
        """Return the variables for the worker."""
        return {VARIABLE: json.dumps({"number": self.number, "socket": self.socket, "parent": self.parent})}


def work(options: RunOptions, place: Place | None, make: Callable[[], list[Service]] | None = None) -> int:
    """Run until asked to stop, and drain; return the exit code.

    Args:
        make: returns the services, instead of the targets that the options name.

    Raises:
        EventBusError: it could not start.
    """
    import_from(options.app_dir)
    # names of services are not known before they are imported, and what their import logs should look right already
    first = options.services[0].partition(":")[0].rpartition(".")[2]
    observation = Observation(
        log_format=options.log_format,
        log_level=options.log_level,
        service=first,
        blocking_limit=options.blocking_limit,
    )
    services = _replicas(options, place, make)
    settings = BusSettings.from_environment()
    bus = Bus(options.bus, source=settings.source or services[0].name, middleware=observation.middleware, settings=settings)
    asked = _Asked(place)
    try:
        _wait_for_what_is_needed(bus, services, options.wait, asked)
        observation.start(bus, where=place.socket if place is not None else options.health)
        bus.attach(Rehearsals())
        quota = None if options.max_messages is None else bus.take_at_most(options.max_messages)
        bus.start(*services)
        observation.started()
        _tell(bus, services, options)
        if quota is not None:
            asked.when(lambda: quota.is_spent and bus.is_idle, "as many messages as asked for were taken")
        if options.burst:
            asked.when(_Drained(bus, services), "all that was there is handled")
        log.info("stopping: %s", asked.wait())
        report = bus.stop(grace=options.grace)
        log.info(
            "stopped in %.2f s: %d handlers finished meanwhile, %d deliveries given back, %d interrupted",
            report.seconds,
            report.finished,
            report.returned,
            report.interrupted,
        )
        return 0
    finally:
        asked.close()
        bus.stop(grace=0.0)
        observation.stop()


def _replicas(options: RunOptions, place: Place | None, make: Callable[[], list[Service]] | None) -> list[Service]:
    """Return the services as this process runs them, each with a name of its own among its replicas."""
    host = socket.gethostname()
    instance = host if place is None else f"{host}/{place.number}"
    found = services_of(options.services, is_factory=options.factory) if make is None else make()
    made = [each.replica(instance, concurrency=options.concurrency) for each in found]
    tell(made, expected_channels())
    return made


def _wait_for_what_is_needed(bus: Bus, services: Sequence[Service], seconds: float, asked: _Asked) -> None:
    """Return when broker and databases answer: all of them and services start at the same time, as a rule."""
    deadline = time.monotonic() + seconds
    told = False
    parts = [part for service in services for part in service.attachments]
    parts += [binding.inbox for service in services for binding in service.bindings if binding.inbox is not None]
    pings = {ping for part in parts if (ping := getattr(part, "ping", None)) is not None}
    while True:
        try:
            bus.engine.ping(timeout=bus.publish_timeout)
            for ping in pings:
                ping()
            return
        except (BrokerUnreachableError, DatabaseUnreachableError, TablesNotReadyError) as error:
            if time.monotonic() >= deadline or asked.is_set:
                raise
            if not told:
                log.warning("%s; tried again for %g s", error, seconds)
                told = True
        gevent.sleep(0.25)


def _tell(bus: Bus, services: Sequence[Service], options: RunOptions) -> None:
    for service in services:
        if not service.topics:
            log.info("%s has no handler; what is attached to it runs", service.name)
            continue
        log.info("%s listens to %s on channel %s", service.name, ", ".join(service.topics), service.channel)
    parts = urlsplit(options.bus or bus.settings.url)
    hint = "" if LIBRARY != "msgpack" else "; twice as fast with: pip install 'eventbus[fast]'"
    log.info("running on %s://%s, events packed by %s%s", parts.scheme, parts.netloc, LIBRARY, hint)


class _Drained:
    """Whether nothing is left on the channels of services. What waits for its time, as a retry does, stays for later."""

    def __init__(self, bus: Bus, services: Sequence[Service]) -> None:
        self._bus = bus
        self._channels = [(topic, service.channel) for service in services for topic in service.topics]
        self._since = 0.0

    def __call__(self) -> bool:
        now = time.monotonic()
        try:
            is_empty, quiet = self._is_empty(), _QUIET
        except EventBusError:
            is_empty, quiet = True, _QUIET_UNSEEN  # the broker's counts cannot be had: only what came here is known
        if not is_empty or not self._bus.is_idle:
            self._since = 0.0
            return False
        self._since = self._since or now
        return now - self._since >= quiet

    def _is_empty(self) -> bool:
        stats = self._bus.engine.stats()
        for topic, channel in self._channels:
            there = stats.get(topic)
            counts = None if there is None else there.channels.get(channel)
            if there is not None and there.depth:
                return False
            if counts is not None and (counts.depth or counts.in_flight):
                return False
        return True


class _Asked:
    """Waits for a reason to stop: a signal, the end of the supervisor, or a condition."""

    def __init__(self, place: Place | None) -> None:
        self._reason: gevent.event.AsyncResult[str] = gevent.event.AsyncResult()
        self._watchers: list[Any] = [
            gevent.signal_handler(number, self._on_signal, number)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        ]
        self._watches: list[Any] = [] if place is None else [gevent.spawn(self._watch_parent, place.parent)]

    @property
    def is_set(self) -> bool:
        return self._reason.ready()

    def when(self, condition: Callable[[], bool], reason: str) -> None:
        """Stop when `condition()` is true."""
        self._watches.append(gevent.spawn(self._poll, condition, reason))

    def wait(self) -> str:
        """Return the reason, once there is one."""
        return self._reason.get() or ""

    def close(self) -> None:
        """Look out no more."""
        for watcher in self._watchers:
            watcher.cancel()
        gevent.killall(self._watches)

    def _set(self, reason: str) -> None:
        if not self._reason.ready():
            self._reason.set(reason)

    def _on_signal(self, number: int) -> None:
        if self._reason.ready():
            log.warning("stopped at once by a second signal; what was being handled comes again")
            logging.shutdown()
            os._exit(INTERRUPTED)
        self._set(signal.Signals(number).name)

    def _watch_parent(self, descriptor: int) -> None:
        gevent.os.make_nonblocking(descriptor)
        gevent.os.nb_read(descriptor, 1)
        self._set("the supervisor is gone")

    def _poll(self, condition: Callable[[], bool], reason: str) -> None:
        while not condition():
            gevent.sleep(_LOOK)
        self._set(reason)
