"""Rights: what a service must be allowed where nsqd asks an auth server.

In the form of that server's answer (https://nsq.io/components/nsqd.html#auth): a topic and channels as regular
expressions, and what is permitted. nsqd matches a publish against the channels too, with an empty name.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Iterator
from typing import Any

from eventbus.context import Context
from eventbus.event import Event, event_info
from eventbus.handlers.binding import Binding
from eventbus.names import PARKED, dead_letter_topic
from eventbus.outcomes import TOPIC as OUTCOMES
from eventbus.outcomes.listening import CALLS
from eventbus.outcomes.telling import TELLERS
from eventbus.rehearsal.messages import ANSWERS, QUESTIONS
from eventbus.rehearsal.worker import channel_for
from eventbus.service import Service


def rights_of(service: Service, publishes: Iterable[str], *, ages: bool) -> list[dict[str, Any]]:
    """Return what a service must be allowed under `eventbus run`, no more.

    Args:
        publishes: topics that it publishes to besides what its handlers' annotations say they return.
        ages: whether dead letters go because of their age (EVENTBUS_MAX_DEAD_AGE).
    """
    published = {*publishes, *(topic for binding in service.bindings for topic in _returned(binding))}
    reads: dict[str, set[str]] = {}
    writes = set(published)
    sources = {getattr(each, "source", "") for each in service.attachments if type(each).__name__ == "Outbox"}
    for binding in service.bindings:
        _listen(binding.topic, service.channel, reads, writes, ages=ages)
        if binding.inbox is None:
            continue
        writes.add(f"{binding.topic}.receipts")
        done = f"{dead_letter_topic(binding.topic, service.channel).removesuffix('.dead')}.done"
        _listen(done, service.channel, reads, writes, ages=ages)
        outbox = getattr(binding.inbox, "outbox", None)
        if outbox is not None:
            sources.add(outbox.source)
    for topic in published:
        for source in sources:
            _listen(f"{topic}.receipts", source, reads, writes, ages=ages)
    if any(each.dry_run for each in service.bindings):
        reads[QUESTIONS] = {channel_for(service.channel)}
        writes.add(ANSWERS)
    writes.add(OUTCOMES)
    grants: list[dict[str, Any]] = [{"topic": _exactly(CALLS), "channels": [TELLERS], "permissions": ["subscribe"]}]
    grants += [
        {"topic": _exactly(topic), "channels": [_exactly(each) for each in sorted(channels)], "permissions": ["subscribe"]}
        for topic, channels in sorted(reads.items())
    ]
    return [*grants, *({"topic": _exactly(each), "channels": [".*"], "permissions": ["publish"]} for each in sorted(writes))]


def _listen(topic: str, channel: str, reads: dict[str, set[str]], writes: set[str], *, ages: bool) -> None:
    """Note a subscription and what goes with it: dead letters, and copies of what waits long or is given back."""
    reads.setdefault(topic, set()).add(channel)
    dead = dead_letter_topic(topic, channel)
    writes |= {topic, dead}
    if ages:
        reads.setdefault(dead, set()).add(PARKED)


def _returned(binding: Binding) -> Iterator[str]:
    """Yield the topics of the events that a handler's annotation says it returns."""
    function = getattr(binding.handler, "__func__", binding.handler)
    try:
        hint = typing.get_type_hints(function, localns={"Context": Context}).get("return")
    except Exception:  # a name that only a type checker sees
        return
    waiting = [hint]
    while waiting:
        part = waiting.pop()
        if isinstance(part, type) and issubclass(part, Event):
            topic = event_info(part).topic
            if topic is not None:
                yield topic
        waiting.extend(typing.get_args(part))


def _exactly(name: str) -> str:
    return f"^{re.escape(name)}$"
