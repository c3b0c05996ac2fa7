"""Admin: topics and channels paused, emptied and counted, on every nsqd that can be reached."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import gevent

from eventbus.engines.base import ChannelStats, TopicStats
from eventbus.engines.nsq.discovery import Node
from eventbus.engines.nsq.handshake import describe
from eventbus.engines.nsq.http import MOST_STATS, HttpClient, HttpError
from eventbus.engines.nsq.schema import Stats
from eventbus.errors import EventBusError
from eventbus.runtime.guarded_log import guarded_log
from eventbus.runtime.redaction import several

log = guarded_log("eventbus.nsq")


class Admin:
    """Operates on all nsqd at once; unreachable ones are named in the log and do not stop the others."""

    def __init__(self, nodes: Callable[[], Sequence[Node]], http: HttpClient) -> None:
        self._nodes = nodes
        self._http = http

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
                    self._http.request(node.http, "POST", f"/topic/{verb}", topic=topic)
                else:
                    self._http.request(node.http, "POST", f"/channel/{verb}", topic=topic, channel=channel)
            except HttpError as error:
                if error.status != 404:
                    raise

        failed = self._everywhere(post, f"{verb} {topic}")
        if failed:
            raise EventBusError(f"{verb} {topic}{'/' + channel if channel else ''} failed on {several(failed)}")

    def stats(self) -> dict[str, TopicStats]:
        """Return the counts of all nsqd together.

        Raises:
            EventBusError: when one cannot be asked, since the sum would be wrong.
        """
        answers: list[Stats] = []

        def ask(node: Node) -> None:
            answers.append(self._http.ask(node.http, "/stats", Stats, {"format": "json"}, most=MOST_STATS))

        failed = self._everywhere(ask, "statistics")
        if failed:
            raise EventBusError(f"no statistics from {several(failed)}")
        return join_stats(answers)

    def _everywhere(self, act: Callable[[Node], None], what: str) -> list[str]:
        failed: list[str] = []

        def run(node: Node) -> None:
            try:
                act(node)
            except Exception as error:
                failed.append(f"nsqd {node.tcp}: {describe(error)}")

        jobs = [gevent.spawn(run, node) for node in self._nodes()]
        try:
            gevent.joinall(jobs)
        finally:
            gevent.killall(jobs, block=False)
        if failed:
            log.warning("%s on %s", what, several(failed))
        return failed


def join_stats(answers: Sequence[Stats]) -> dict[str, TopicStats]:
    """Return the sums of several nsqd's /stats."""
    joined: dict[str, TopicStats] = {}
    for answer in answers:
        for topic in answer.topics:
            before = joined.get(topic.topic_name)
            channels = dict(before.channels) if before else {}
            for channel in topic.channels:
                there = channels.get(channel.channel_name, ChannelStats(0, 0, 0, 0, False))
                channels[channel.channel_name] = ChannelStats(
                    depth=there.depth + channel.depth,
                    in_flight=there.in_flight + channel.in_flight_count,
                    deferred=there.deferred + channel.deferred_count,
                    subscribers=there.subscribers + channel.client_count,
                    is_paused=there.is_paused or channel.paused,
                    messages=there.messages + channel.message_count,
                    requeued=there.requeued + channel.requeue_count,
                    timed_out=there.timed_out + channel.timeout_count,
                    clients=tuple(sorted((*there.clients, *(each.client_id for each in channel.clients)))),
                )
            joined[topic.topic_name] = TopicStats(
                depth=topic.depth + (before.depth if before else 0),
                channels=channels,
                is_paused=topic.paused or (before.is_paused if before else False),
                messages=topic.message_count + (before.messages if before else 0),
                started=max(answer.start_time, before.started if before else 0.0),
            )
    return joined
