"""Tables: topics and channels as people and machines read them; `topics` and `top` share them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from eventbus.engines.base import TopicStats
from eventbus.names import is_dead_letter_topic
from eventbus.page.rates import Rates

Users = Annotated[
    bool, typer.Option("--users", help="Name who listens, below each channel: service@instance, where a broker knows it.")
]


def as_json(stats: Mapping[str, TopicStats], rates: Rates | None = None) -> list[dict[str, Any]]:
    """Return topics with their channels as JSON trees."""
    found = []
    for name, topic in sorted(stats.items()):
        tree: dict[str, Any] = {
            "topic": name,
            "depth": topic.depth,
            "messages": topic.messages,
            "paused": topic.is_paused,
            "dead_letters": is_dead_letter_topic(name),
            "channels": [],
        }
        if rates is not None:
            tree["published_per_second"] = round(rates.published.get(name, 0.0), 2)
        for channel_name, channel in sorted(topic.channels.items()):
            part: dict[str, Any] = {
                "channel": channel_name,
                "depth": channel.depth,
                "in_flight": channel.in_flight,
                "deferred": channel.deferred,
                "requeued": channel.requeued,
                "timed_out": channel.timed_out,
                "messages": channel.messages,
                "consumers": channel.subscribers,
                "clients": list(channel.clients),
                "paused": channel.is_paused,
            }
            if rates is not None:
                part["handled_per_second"] = round(rates.handled.get((name, channel_name), 0.0), 2)
                part["requeued_per_second"] = round(rates.requeued.get((name, channel_name), 0.0), 2)
            tree["channels"].append(part)
        found.append(tree)
    return found


def table(
    stats: Mapping[str, TopicStats], rates: Rates | None = None, *, title: str | None = None, has_users: bool = False
) -> Table:
    """Return a table with a line for each channel; dead letters in red, what is paused or timed out in yellow.

    Args:
        has_users: name who subscribes, a line for each below its channel.
    """
    # narrow enough for a terminal of 80 columns
    made = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    made.add_column("topic / channel", overflow="fold")
    timeouts = any(channel.timed_out for topic in stats.values() for channel in topic.channels.values())
    for heading in ("depth", "flight", "defer", "requeue", *(("timeout",) if timeouts else ()), "users"):
        made.add_column(heading, justify="right")
    if rates is not None:
        made.add_column("in/s", justify="right")
        made.add_column("out/s", justify="right")
    made.add_column("")
    for name, topic in sorted(stats.items(), key=_urgency):
        is_dead = is_dead_letter_topic(name)
        waits = _waits(topic)
        style = "red" if is_dead and waits else "dim" if is_dead else "bold"
        arriving = [] if rates is None else [_rate(rates.published.get(name, 0.0)), ""]
        state = "paused" if topic.is_paused else "no channel" if not topic.channels else ""
        blanks = [""] * (5 if timeouts else 4)
        made.add_row(Text(name, style), _count(topic.depth, style), *blanks, *arriving, Text(state, "yellow"))
        for channel_name, channel in sorted(topic.channels.items()):
            row = "red" if is_dead and channel.depth + channel.in_flight else ""
            leaving = [] if rates is None else ["", _rate(rates.handled.get((name, channel_name), 0.0))]
            made.add_row(
                Text(f"  {channel_name}", row),
                _count(channel.depth, row),
                _count(channel.in_flight, row),
                _count(channel.deferred, row),
                _count(channel.requeued, row),
                *([_count(channel.timed_out, "yellow")] if timeouts else []),
                _count(channel.subscribers, row),
                *leaving,
                Text("dead" if row else "paused" if channel.is_paused else "", row or "yellow"),
            )
            for client, count in Counter(channel.clients if has_users else ()).items():
                made.add_row(Text(f"    {client}" + (f" x {count}" if count > 1 else ""), "dim"))
    return made


def _waits(topic: TopicStats) -> int:
    return topic.depth + sum(each.depth + each.in_flight + each.deferred for each in topic.channels.values())


def _urgency(pair: tuple[str, TopicStats]) -> tuple[int, str]:
    """Dead letters first, since a terminal may be too short for all; dead-letter topics without any last."""
    name, topic = pair
    return (0 if _waits(topic) else 2) if is_dead_letter_topic(name) else 1, name


def _count(number: int, style: str) -> Text:
    return Text(f"{number:,}", style) if number else Text("0", "dim")


def _rate(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 or not number else f"{number:.1f}"
