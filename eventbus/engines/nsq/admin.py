"""Admin: topics and channels declared, paused and counted, on every nsqd and nsqlookupd that can be reached.

nsqd's HTTP port does all of it. Where that is closed, declaring goes by subscribing over TCP and leaving at once,
which makes topic and channel too and touches no message. nsqlookupd is told as well: an nsqd that sees a topic first
makes the channels that it lists there before the first message flows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import gevent
import gevent.event
from gnsq import protocol

from eventbus.engines.base import ChannelStats, TopicStats
from eventbus.engines.nsq.addresses import Address
from eventbus.engines.nsq.connection import Connection
from eventbus.engines.nsq.discovery import Lookup, Node
from eventbus.engines.nsq.handshake import describe, open_session
from eventbus.engines.nsq.http import HttpError, request
from eventbus.engines.nsq.options import NsqOptions
from eventbus.errors import EventBusError
from eventbus.names import is_ephemeral

log = logging.getLogger("eventbus.nsq")


class Admin:
    """Operates on all nsqd at once; unreachable ones are named in the log and do not stop the others."""

    def __init__(self, nodes: Callable[[], Sequence[Node]], lookup: Lookup | None, options: NsqOptions) -> None:
        self._nodes = nodes
        self._lookup = lookup
        self._options = options
        self._timeout = options.connect_timeout

    def declare(self, topic: str, channels: Sequence[str]) -> None:
        """Make topic and channels wherever they are missing; ephemeral channels are left to their subscribers."""
        lasting = [channel for channel in channels if not is_ephemeral(channel)]
        if self._lookup is not None:
            self._tell_lookup(topic, lasting)
        self._everywhere(lambda node: self._declare_on(node, topic, lasting), f"declaring {topic}")

    def _tell_lookup(self, topic: str, channels: Sequence[str]) -> None:
        assert self._lookup is not None
        failed = self._lookup.post("/topic/create", topic=topic)
        for channel in channels:
            failed += self._lookup.post("/channel/create", topic=topic, channel=channel)
        for error in failed[:1]:
            log.warning("declaring %s: nsqlookupd %s", topic, error)

    def _declare_on(self, node: Node, topic: str, channels: Sequence[str]) -> None:
        try:
            self._post(node, "/topic/create", topic=topic)
            for channel in channels:
                self._post(node, "/channel/create", topic=topic, channel=channel)
        except HttpError:
            for channel in channels:
                self._declare_by_subscribing(node.tcp, topic, channel)

    def _declare_by_subscribing(self, address: Address, topic: str, channel: str) -> None:
        answered: gevent.event.AsyncResult[Any] = gevent.event.AsyncResult()

        class Visit(Connection):
            def on_answer(self, frame: Any) -> None:
                answered.set(frame)

        visit = Visit(open_session(address, self._options, lambda *_: None), answered.set_exception)
        try:
            visit.begin()
            visit.send(protocol.subscribe(topic, channel))
            answered.get(timeout=self._timeout)
        finally:
            visit.close()

    def pause(self, topic: str, channel: str | None) -> None:
        self._operate("pause", topic, channel)

    def resume(self, topic: str, channel: str | None) -> None:
        self._operate("unpause", topic, channel)

    def empty(self, topic: str, channel: str | None) -> None:
        self._operate("empty", topic, channel)

    def _operate(self, verb: str, topic: str, channel: str | None) -> None:
        """Post to every nsqd; one that does not have the topic or channel is passed over."""

        def post(node: Node) -> None:
            try:
                if channel is None:
                    self._post(node, f"/topic/{verb}", topic=topic)
                else:
                    self._post(node, f"/channel/{verb}", topic=topic, channel=channel)
            except HttpError as error:
                if error.status != 404:
                    raise

        failed = self._everywhere(post, f"{verb} {topic}")
        if failed:
            raise EventBusError(f"{verb} {topic}{'/' + channel if channel else ''} failed on {'; '.join(failed)}")

    def stats(self) -> dict[str, TopicStats]:
        """Return the counts of all nsqd together.

        Raises:
            EventBusError: when one cannot be asked, since the sum would be wrong.
        """
        answers: list[Any] = []
        failed = self._everywhere(lambda node: answers.append(self._get(node, "/stats", format="json")), "statistics")
        if failed:
            raise EventBusError(f"no statistics from {'; '.join(failed)}")
        return join_stats(answers)

    def _everywhere(self, act: Callable[[Node], None], what: str) -> list[str]:
        nodes = self._nodes()
        failed: list[str] = []

        def run(node: Node) -> None:
            try:
                act(node)
            except Exception as error:
                failed.append(f"nsqd {node.tcp}: {describe(error)}")
                log.warning("%s on nsqd %s: %s", what, node.tcp, describe(error))

        gevent.joinall([gevent.spawn(run, node) for node in nodes])
        return failed

    def _post(self, node: Node, path: str, **query: str) -> Any:
        return request(node.http, "POST", path, timeout=self._timeout, **query)

    def _get(self, node: Node, path: str, **query: str) -> Any:
        return request(node.http, "GET", path, timeout=self._timeout, **query)


def join_stats(answers: Sequence[Any]) -> dict[str, TopicStats]:
    """Return the sums of several nsqd's /stats."""
    joined: dict[str, TopicStats] = {}
    for answer in answers:
        for topic in answer["topics"]:
            before = joined.get(topic["topic_name"])
            channels = dict(before.channels) if before else {}
            for channel in topic["channels"]:
                there = channels.get(channel["channel_name"], ChannelStats(0, 0, 0, 0, False))
                channels[channel["channel_name"]] = ChannelStats(
                    depth=there.depth + channel["depth"],
                    in_flight=there.in_flight + channel["in_flight_count"],
                    deferred=there.deferred + channel["deferred_count"],
                    subscribers=there.subscribers + channel["client_count"],
                    is_paused=there.is_paused or channel["paused"],
                    messages=there.messages + channel["message_count"],
                    requeued=there.requeued + channel["requeue_count"],
                    timed_out=there.timed_out + channel["timeout_count"],
                )
            joined[topic["topic_name"]] = TopicStats(
                depth=topic["depth"] + (before.depth if before else 0),
                channels=channels,
                is_paused=topic["paused"] or (before.is_paused if before else False),
                messages=topic["message_count"] + (before.messages if before else 0),
            )
    return joined
