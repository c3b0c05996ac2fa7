"""The command `eventbus journal replay`: events of a journal to one channel again, on any engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated

import gevent
import typer

from eventbus.cli.journal_options import JournalUrl, Since, Subject, Type, Until, instant, reading
from eventbus.cli.options import BusUrl, Topic
from eventbus.cli.session import complain, connected, say
from eventbus.dead_letters.again import copy_for
from eventbus.errors import ConfigurationError, DecodeError, EncodeError, EventBusError
from eventbus.journal import Logged
from eventbus.signing import for_copies
from eventbus.wire.codec import decode

Ids = Annotated[list[str] | None, typer.Option("--id", help="Id of an event, or its beginning; may be given several times.")]


def replay_command(
    topic: Topic,
    to: Annotated[str, typer.Option("--to", help="The channel that gets them; others pass over them.", metavar="CHANNEL")],
    subject: Subject = None,
    type_: Type = None,
    ids: Ids = None,
    since: Since = None,
    until: Until = None,
    rate: Annotated[float | None, typer.Option(min=0.01, help="Most events in a second.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many they are, and do nothing.")] = False,
    database: JournalUrl = None,
    bus: BusUrl = None,
) -> None:
    """Let a channel have events of the journal again, on any engine; needs a journal that was kept with `--bodies`.

    Each is published as a copy that is meant for this channel alone. A handler with an inbox passes over what it handled.
    A bus that keeps its own log has `eventbus replay`, which copies nothing.

    Example: eventbus journal replay orders_placed --to audit --since 3d --database sqlite:///journal.db
    """
    with reading("replay", database, bus) as journal, connected(bus) as open_bus:
        there = open_bus.engine.stats()
        if topic not in there or to not in there[topic].channels:
            raise ConfigurationError(f"no channel {to!r} on topic {topic!r}; see: eventbus topics")
        span = {"since": instant(since, "--since"), "until": instant(until, "--until")}
        wanted = tuple(ids or ())

        def chosen() -> Iterator[Logged]:
            for each in journal.past(topic=topic, subject=subject, type=type_, **span):
                if not wanted or each.id.startswith(wanted):
                    yield each

        count = sum(1 for _ in chosen())
        say(f"{count:,} events of {topic} for {to}")
        if dry_run:
            return
        engine = for_copies(open_bus.engine)
        sent = left = 0
        began = time.monotonic()
        last: Logged | None = None
        try:
            for each in chosen():
                body = _copy(each, to)
                if body is None:
                    left += 1
                    continue
                engine.publish(topic, body, delay=0.0, timeout=open_bus.publish_timeout)
                sent, last = sent + 1, each
                if rate is not None:
                    gevent.sleep(max(began + sent / rate - time.monotonic(), 0.0))
        except (EventBusError, KeyboardInterrupt):
            complain(f"{sent:,} replayed before it was interrupted" + (f", the last {last.id}" if last else ""))
            raise
        say(f"{sent:,} replayed")
        if left:
            raise ConfigurationError(
                f"{left:,} events cannot be replayed: the journal has not their data (keep it with --bodies), or no reader "
                "takes them"
            )


def _copy(logged: Logged, channel: str) -> bytes | None:
    """Return the bytes of an event for one channel alone; None where there are none."""
    if logged.body is None:
        return None
    try:
        return copy_for(channel, decode(logged.body), logged.body)
    except (DecodeError, EncodeError):
        return None
