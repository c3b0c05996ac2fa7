"""Publisher: publish from threads and from asyncio, where no gevent runs.

A bus belongs to the hub of one thread. Here that thread is one of the publisher's own: callers hand their events over and
wait for the confirmation, in their threads or in their event loop. Nothing is patched.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, Self

import gevent
import gevent.event
from gevent import monkey

from eventbus.bus import Bus
from eventbus.errors import BusStateError, ConfigurationError, NotSent
from eventbus.event import Event
from eventbus.middleware import Middleware
from eventbus.settings import BusSettings

_ROUND = 0.005
"""Seconds between two looks of a coroutine for room among what is pending."""


@dataclass(frozen=True, slots=True)
class _Request:
    event: Event
    options: dict[str, Any]
    variables: Context
    answer: Future[str]


class Publisher:
    """Publishes over one engine from any thread (`publish`) and from asyncio (`await apublish`), confirmed.

    A context manager of both kinds, which drains at its end.

    In a forked child it connects anew when it is first used there.

    Args:
        url, source, codec, middleware, settings: as of `Bus`.
        max_pending: most events that wait for their confirmation; who comes then waits for room.

    Raises:
        ConfigurationError: URL or settings are wrong, or the process runs on gevent, where a Bus is right.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        source: str | None = None,
        codec: str | None = None,
        middleware: Sequence[Middleware] = (),
        settings: BusSettings | None = None,
        max_pending: int = 10_000,
    ) -> None:
        if monkey.is_module_patched("threading"):
            raise ConfigurationError("Publisher in a process that gevent has patched: its threads are greenlets; use a Bus")
        if max_pending < 1:
            raise ConfigurationError(f"Publisher(max_pending={max_pending!r}): give 1 or more")
        self._settings = settings or BusSettings.from_environment()
        self._arguments: dict[str, Any] = {
            "url": url,
            "source": source,
            "codec": codec,
            "middleware": middleware,
            "settings": self._settings,
        }
        self._max_pending = max_pending
        self._is_closed = False
        self._starting = threading.Lock()
        self._hub = self._start()
        os.register_at_fork(after_in_child=self._forked)
        atexit.register(self.close)

    def __repr__(self) -> str:
        return f"<Publisher {'closed' if self._is_closed else f'{self._hub.pending} pending'}>"

    def publish(self, event: Event, *, timeout: float | None = None, **options: Any) -> str:
        """Publish `event` and return its id once the engine has confirmed it; blocks the calling thread alone.

        Args:
            timeout: longest time in seconds to wait for room, and as long again for the confirmation.
            options: as of `Bus.publish`.

        Raises:
            As `Bus.publish`; NotSent also where no room came.
        """
        hub = self._open()
        if not hub.room.acquire(timeout=self._patience(timeout)):
            raise self._full(event)
        return hub.submit(event, timeout, options).result()

    async def apublish(self, event: Event, *, timeout: float | None = None, **options: Any) -> str:
        """The same in asyncio: other tasks go on meanwhile. One that is cancelled leaves open whether it was published.

        Raises:
            As `publish`.
        """
        hub = self._open()
        until = monotonic() + self._patience(timeout)
        while not hub.room.acquire(blocking=False):
            if monotonic() > until:
                raise self._full(event)
            await asyncio.sleep(_ROUND)
        return await asyncio.wrap_future(hub.submit(event, timeout, options))

    def close(self) -> None:
        """Wait for what is pending, as long as its timeouts let it, and close the connections. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            atexit.unregister(self.close)
            self._hub.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def _patience(self, timeout: float | None) -> float:
        return self._settings.publish_timeout if timeout is None else timeout

    def _full(self, event: Event) -> NotSent:
        return NotSent(
            f"{type(event).__name__}: {self._max_pending} events wait for their confirmation; publish less at a time, or "
            "raise max_pending"
        )

    def _open(self) -> _Hub:
        if self._is_closed:
            raise BusStateError("publish on a closed Publisher; make a new one")
        if not self._hub.is_here:
            with self._starting:
                if not self._hub.is_here:
                    self._hub = self._start()
        return self._hub

    def _start(self) -> _Hub:
        return _Hub(self._arguments, self._max_pending)

    def _forked(self) -> None:
        self._starting = threading.Lock()  # somebody may have held it


class _Hub:
    """A thread with a hub and a bus of its own."""

    def __init__(self, arguments: dict[str, Any], max_pending: int) -> None:
        self.room = threading.BoundedSemaphore(max_pending)
        self._process = os.getpid()
        self._arguments = arguments
        self._max_pending = max_pending
        self._requests: deque[_Request] = deque()
        self._wake: Any = None
        self._stop: Any = None
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="eventbus.Publisher", daemon=True)
        self._thread.start()
        started.result()

    @property
    def is_here(self) -> bool:
        """Whether this process started the thread: a forked child has none."""
        return self._process == os.getpid()

    @property
    def pending(self) -> int:
        """Events that wait for their confirmation."""
        return self._max_pending - self.room._value

    def submit(self, event: Event, timeout: float | None, options: dict[str, Any]) -> Future[str]:
        """Hand an event over; there must be room, which comes back with the answer."""
        answer: Future[str] = Future()
        answer.add_done_callback(lambda _: self.room.release())
        self._requests.append(_Request(event, {"timeout": timeout, **options}, copy_context(), answer))
        self._wake.send()
        return answer

    def stop(self) -> None:
        """End when all is answered."""
        if self.is_here and self._thread.is_alive():
            self._stop.send()
            self._thread.join()

    def _run(self, started: Future[None]) -> None:
        loop = gevent.get_hub().loop
        is_over = gevent.event.Event()
        try:
            self._wake, self._stop = loop.async_(), loop.async_()
            under_way: set[gevent.Greenlet[..., None]] = set()

            def take() -> None:
                while self._requests:
                    request = self._requests.popleft()
                    greenlet = gevent.spawn(request.variables.run, self._publish, bus, request)
                    under_way.add(greenlet)
                    greenlet.link(under_way.discard)

            bus = Bus(**self._arguments)
            self._wake.start(take)
            self._stop.start(is_over.set)
        except BaseException as error:
            started.set_exception(error)
            return
        started.set_result(None)
        is_over.wait()
        take()
        gevent.joinall(list(under_way))
        bus.stop()
        for watcher in (self._wake, self._stop):
            watcher.stop()
            watcher.close()
        gevent.get_hub().destroy(destroy_loop=True)

    def _publish(self, bus: Bus, request: _Request) -> None:
        if not request.answer.set_running_or_notify_cancel():
            return
        try:
            request.answer.set_result(bus.publish(request.event, **request.options))
        except BaseException as error:
            request.answer.set_exception(error)
