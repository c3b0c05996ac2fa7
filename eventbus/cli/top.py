"""The command `eventbus top`: topics and channels as they change."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from fnmatch import fnmatchcase
from typing import Annotated

import gevent
import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from eventbus.bus import Bus
from eventbus.cli.options import BusUrl
from eventbus.cli.session import connected, out, reported
from eventbus.cli.tables import Users, as_json, table
from eventbus.engines.base import TopicStats
from eventbus.errors import EventBusError
from eventbus.names import is_dead_letter_topic
from eventbus.page.rates import NONE, rates_between

app = typer.Typer(add_completion=False)


@app.command()
def top(
    pattern: Annotated[str, typer.Argument(help="Topics to show, with * for any text.")] = "*",
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="End after so many looks.")] = None,
    users: Users = False,
    json_wanted: Annotated[bool, typer.Option("--json", help="One JSON object for each look.")] = False,
    bus: BusUrl = None,
) -> None:
    """Show depth, in flight, deferred, requeued, rates and consumers of each channel, live; dead letters in red.

    On a terminal the table is redrawn in its place until Ctrl-C; elsewhere each look is printed below the last.

    Example: eventbus top 'orders_*' --interval 2
    """
    with reported("top"), connected(bus) as open_bus:
        _Top(open_bus, pattern, interval, json_wanted, has_users=users).run(count)


class _Top:
    def __init__(self, bus: Bus, pattern: str, interval: float, json_wanted: bool, *, has_users: bool) -> None:
        self._bus = bus
        self._pattern = pattern
        self._interval = interval
        self._json = json_wanted
        self._has_users = has_users
        self._before: dict[str, TopicStats] = {}
        self._before_at = 0.0

    def run(self, count: int | None) -> None:
        """Look and show, `count` times or for ever."""
        is_live = out.is_terminal and not self._json
        live = Live(console=out, screen=count is None, auto_refresh=False) if is_live else None
        looks = 0
        with live or nullcontext():
            while True:
                began = time.monotonic()
                self._show(live)
                looks += 1
                if looks == count:
                    return
                gevent.sleep(max(self._interval - (time.monotonic() - began), 0.0))

    def _show(self, live: Live | None) -> None:
        try:
            stats = self._bus.engine.stats()
        except EventBusError as error:
            if live is None:
                raise
            live.update(Text(f"{error}\nlooking again", style="red"), refresh=True)  # a broker restarts; the watcher stays
            return
        now = time.monotonic()
        found = {name: each for name, each in stats.items() if fnmatchcase(name, self._pattern)}
        rates = rates_between(self._before, found, now - self._before_at) if self._before else NONE
        self._before, self._before_at = found, now
        if self._json:
            sys.stdout.write(json.dumps({"at": time.time(), "topics": as_json(found, rates)}) + "\n")
            sys.stdout.flush()
            return
        shown = Group(_headline(found), table(found, rates, has_users=self._has_users))
        if live is not None:
            live.update(shown, refresh=True)
        else:
            out.print(shown)
            sys.stdout.flush()


def _headline(stats: dict[str, TopicStats]) -> Text:
    waiting = {True: 0, False: 0}
    for name, topic in stats.items():
        there = sum(channel.depth + channel.deferred for channel in topic.channels.values())
        waiting[is_dead_letter_topic(name)] += topic.depth + there
    line = Text(f"{time.strftime('%H:%M:%S')}  {len(stats)} topics, {waiting[False]:,} messages wait, ")
    return line.append(f"{waiting[True]:,} dead letters", "bold red" if waiting[True] else "")
