"""The command `eventbus replay`: past events to one channel again, from an engine that keeps them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import gevent
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from eventbus.bus import Bus
from eventbus.cli.instants import read_instant
from eventbus.cli.options import BusUrl, Topic
from eventbus.cli.session import complain, complaints, connected, reported, say
from eventbus.engines.base import Past
from eventbus.errors import ConfigurationError, DecodeError, EventBusError
from eventbus.wire.codec import decode

app = typer.Typer(add_completion=False)

_PAGE, _PAGE_BYTES = 500, 1024 * 1024

Type = Annotated[list[str] | None, typer.Option("--type", help="Name of an event type; may be given several times.")]
Ids = Annotated[list[str] | None, typer.Option("--id", help="Id of an event, or its beginning; may be given several times.")]


@app.command()
def replay(
    topic: Topic,
    to: Annotated[str, typer.Option("--to", help="The channel that gets them; no other does.", metavar="CHANNEL")],
    since: Annotated[
        str | None, typer.Option(help="Published since then: 15m, 2h, 3d ago, or an instant.", metavar="T")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Published before that.", metavar="T")] = None,
    types: Type = None,
    ids: Ids = None,
    rate: Annotated[float | None, typer.Option(min=0.01, help="Most events in a second.")] = None,
    after: Annotated[int, typer.Option(min=0, help="Continue behind this position, as an interrupted replay says.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many they are, and do nothing.")] = False,
    bus: BusUrl = None,
) -> None:
    """Let a channel have past events again, beside what is new. The bus must keep them: sqlite:// or postgresql://.

    What the channel has not had yet is left out, since it comes anyway. A handler with an inbox passes over what it handled.

    Example: eventbus replay orders_placed --to audit --since 3d --type OrderPlaced --rate 100
    """
    with reported("replay"):
        fits = _filter(types, ids)
        span = {
            "since": None if since is None else read_instant(since, "--since").timestamp(),
            "until": None if until is None else read_instant(until, "--until").timestamp(),
        }
        with connected(bus) as open_bus:
            if getattr(open_bus.engine, "past", None) is None:
                raise ConfigurationError(f"{open_bus.engine.scheme}:// keeps no past events; sqlite:// and postgresql:// do")
            there = open_bus.engine.stats()
            if topic not in there or to not in there[topic].channels:
                raise ConfigurationError(f"no channel {to!r} on topic {topic!r}; see: eventbus topics")
            count = sum(len(page) for _, page in _pages(open_bus, topic, after, span, fits))
            say(f"{count:,} events of {topic} for {to}")
            if not dry_run and count:
                _send(open_bus, topic, to, _pages(open_bus, topic, after, span, fits), count, rate)


def _pages(
    bus: Bus, topic: str, after: int, span: dict[str, float | None], fits: Callable[[Past], bool]
) -> Iterator[tuple[int, list[int]]]:
    """Yield a position of the log and the positions up to it that are wanted, again and again. It ends where the log ended
    when it began."""
    engine: Any = bus.engine
    end = time.time() if span["until"] is None else span["until"]
    while page := engine.past(topic, after=after, since=span["since"], until=end, most=_PAGE, most_bytes=_PAGE_BYTES):
        after = page[-1].position
        yield after, [each.position for each in page if fits(each)]


def _send(
    bus: Bus, topic: str, channel: str, pages: Iterator[tuple[int, list[int]]], count: int, rate: float | None
) -> None:
    engine: Any = bus.engine
    sent = passed = reached = 0
    began = time.monotonic()
    columns = (TextColumn("replayed"), BarColumn(), MofNCompleteColumn())
    try:
        with Progress(*columns, console=complaints, disable=not complaints.is_terminal, transient=True) as progress:
            task = progress.add_task("replayed", total=count)
            for end, positions in pages:
                step = len(positions) if rate is None else max(1, min(int(rate / 10), len(positions)))
                for first in range(0, len(positions), step or 1):
                    part = positions[first : first + step]
                    sent += engine.repeat(topic, channel, part)
                    passed += len(part)
                    reached = part[-1]
                    progress.update(task, completed=passed)
                    if rate is not None:
                        gevent.sleep(max(began + passed / rate - time.monotonic(), 0.0))
                reached = end
    except (EventBusError, KeyboardInterrupt):
        complain(f"{sent:,} replayed before it was interrupted; go on with the same command and --after {reached}")
        raise
    left = passed - sent
    say(f"{sent:,} replayed" + (f"; {left:,} wait on the channel already" if left else ""))


def _filter(types: list[str] | None, ids: list[str] | None) -> Callable[[Past], bool]:
    """Return what the options choose."""
    if not types and not ids:
        return lambda each: True
    begins = tuple(ids or ())

    def fits(each: Past) -> bool:
        try:
            envelope = decode(each.body)
        except DecodeError:
            return False
        return (not types or envelope.type in types) and (not begins or envelope.id.startswith(begins))

    return fits
