"""Declaring: topics and channels made on every nsqd and nsqlookupd, and what was made remembered.

nsqd's HTTP port does it. Where that is closed, it goes by subscribing over TCP and leaving at once, which makes topic and
channel too and touches no message. nsqlookupd is told as well: an nsqd that sees a topic first makes the channels that it
lists there before the first message flows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import gevent
import gevent.event
from gnsq import protocol

from eventbus.engines.nsq.addresses import Address
from eventbus.engines.nsq.connection import Connection
from eventbus.engines.nsq.discovery import Lookup, Node
from eventbus.engines.nsq.frames import ERROR, read_error
from eventbus.engines.nsq.handshake import describe, open_session
from eventbus.engines.nsq.http import HttpClient, HttpError
from eventbus.engines.nsq.options import NsqOptions
from eventbus.names import is_ephemeral
from eventbus.runtime.guarded_log import guarded_log
from eventbus.runtime.redaction import several

log = guarded_log("eventbus.nsq")

_REMEMBERED = 60.0
"""Seconds after which what was declared is declared again, in the background: somebody may have deleted it."""
_MOST_REMEMBERED = 10_000
YOUNG = 5.2
"""Seconds after which nsqd looks at the timers of a new channel: it looks for new ones each 5 s (`QueueScanRefreshInterval`,
which no option changes), and at timers each 100 ms."""
_FROZEN = 0.9
"""Share of the time limit after which an HTTP call that failed says that nsqd hangs: TCP would hang too."""

Declared = tuple[str, tuple[str, ...]]


class Declarations:
    """Declares on all nsqd and nsqlookupd side by side, within the time of one."""

    def __init__(
        self, nodes: Callable[[], Sequence[Node]], lookup: Lookup | None, http: HttpClient, options: NsqOptions
    ) -> None:
        self._nodes = nodes
        self._lookup = lookup
        self._http = http
        self._options = options
        self._known: dict[Declared, float] = {}
        self._under_way: dict[Declared, gevent.Greenlet[..., list[str]]] = {}
        self._young: dict[str, float] = {}
        self._is_closed = False

    def declare(self, topic: str, channels: Sequence[str], *, anew: bool) -> list[str]:
        """Make topic and channels wherever they are missing; ephemeral channels are left to their subscribers.

        Args:
            anew: ask the servers although it was declared a moment ago.

        Returns:
            One text for each server that did not take it. None of them holds the others up for longer than the time limit.
        """
        what = (topic, tuple(channel for channel in channels if not is_ephemeral(channel)))
        known = None if anew else self._known.get(what)
        if known is not None:
            if time.monotonic() - known > _REMEMBERED and what not in self._under_way:
                self._begin(what)  # nobody waits for it: it was there, and is there most likely
            return []
        act = self._under_way.get(what)
        if act is None or anew:
            act = self._begin(what)
        failed = list(act.get() or ())
        self._young.setdefault(topic, time.monotonic() + YOUNG)
        return failed

    def late_for(self, topic: str) -> float:
        """Return for how many seconds from now channels of a topic may be new to nsqd, as far as is known here."""
        until = self._young.get(topic)
        return 0.0 if until is None else max(until - time.monotonic(), 0.0)

    def _begin(self, what: Declared) -> gevent.Greenlet[..., list[str]]:
        topic, channels = what
        act: gevent.Greenlet[..., list[str]] = gevent.spawn(self._act, topic, channels)
        self._under_way[what] = act

        def ended(_: object) -> None:
            if self._under_way.get(what) is act:
                del self._under_way[what]
                self._remember(what)

        act.link(ended)
        return act

    def _remember(self, what: Declared) -> None:
        # a server that did not take it is no reason to ask for each letter again: its topic keeps what comes for a channel
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[what] = time.monotonic()

    def forget(self) -> None:
        """Remember nothing: an nsqd was lost, and may come back without its topics."""
        self._known.clear()

    def close(self) -> None:
        """End what is under way."""
        gevent.killall(list(self._under_way.values()), block=False)
        self._under_way.clear()

    def _act(self, topic: str, channels: tuple[str, ...]) -> list[str]:
        telling = gevent.spawn(self._tell_lookup, topic, channels)
        visits: list[gevent.Greenlet[..., Any]] = []
        try:
            nodes = self._nodes()
            visits = [gevent.spawn(self._declare_on, node, topic, channels) for node in nodes]
            gevent.joinall([telling, *visits])
        finally:
            gevent.killall([telling, *visits], block=False)
        failed = [each.value for each in visits if each.value]
        if failed:
            log.warning("declaring %s: %s", topic, several(failed))
        if telling.value:
            log.warning("declaring %s: nsqlookupd %s", topic, telling.value[0])
            if not nodes and self._lookup is not None and len(telling.value) == len(self._lookup.lookupds):
                failed.append(f"nsqlookupd {telling.value[0]}")
        return failed

    def _tell_lookup(self, topic: str, channels: tuple[str, ...]) -> list[HttpError]:
        if self._lookup is None:
            return []
        return self._lookup.tell(
            ("/topic/create", {"topic": topic}),
            *(("/channel/create", {"topic": topic, "channel": channel}) for channel in channels),
        )

    def _declare_on(self, node: Node, topic: str, channels: tuple[str, ...]) -> str:
        """Return why it failed, or nothing."""
        began = time.monotonic()
        try:
            self._http.request(node.http, "POST", "/topic/create", topic=topic)
            for channel in channels:
                self._http.request(node.http, "POST", "/channel/create", topic=topic, channel=channel)
        except HttpError as error:
            if time.monotonic() - began > _FROZEN * self._options.connect_timeout:
                return f"nsqd {node.tcp}: {error}"
            try:
                for channel in channels:
                    self._declare_by_subscribing(node.tcp, topic, channel)
            except Exception as second:
                return f"nsqd {node.tcp}: {describe(second)}"
        return ""

    def _declare_by_subscribing(self, address: Address, topic: str, channel: str) -> None:
        answered: gevent.event.AsyncResult[Any] = gevent.event.AsyncResult()

        class Visit(Connection):
            def on_answer(self, frame: Any) -> None:
                answered.set(frame)

        session = open_session(address, self._options, lambda *_: None, is_given=self._lookup is None)
        visit = Visit(session, answered.set_exception)
        try:
            visit.begin()
            visit.send(protocol.subscribe(topic, channel))
            with gevent.Timeout(self._options.connect_timeout, TimeoutError("no answer to SUB")):
                answer: Any = answered.get()
            if answer[0] == ERROR:
                raise read_error(answer[1])
        finally:
            visit.close()
