"""The commands `eventbus dead list|show|replay|discard`: dead letters looked at, sent again, thrown away."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from eventbus.cli.options import AsJson, BusUrl, Channel, Topic, Yes
from eventbus.cli.session import FAILED, complain, complaints, confirmed, connected, out, reported, say
from eventbus.dead_letters import DeadLetter, DeadLetters
from eventbus.dead_letters.mending import Where
from eventbus.errors import ConfigurationError, DecodeError, EventBusError
from eventbus.runtime.redaction import one_line

app = typer.Typer(
    add_completion=False, help="Look at dead letters, send them again, or throw them away.", no_args_is_help=True
)

Ids = Annotated[list[str] | None, typer.Option("--id", help="Id of an event, or its beginning; may be given several times.")]
Since = Annotated[
    str | None, typer.Option(help="Parked since then: 15m, 2h, 3d, or an instant as 2026-01-31T12:00:00Z.", metavar="T")
]
Reason = Annotated[str | None, typer.Option(help="Reason or error contains this text, in any case of letters.")]
_AGO = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MOST_BYTES = 4096


@app.command("list")
def list_command(
    topic: Topic,
    channel: Channel,
    ids: Ids = None,
    limit: Annotated[int, typer.Option(min=1, help="Most that are shown.")] = 50,
    since: Since = None,
    reason: Reason = None,
    as_json: AsJson = False,
    bus: BusUrl = None,
) -> None:
    """List dead letters, oldest first, with reason, error, attempts and age. They stay where they are.

    Example: eventbus dead list orders_placed fulfillment --reason Timeout --since 2h
    """
    with reported("dead list"), connected(bus) as open_bus:
        letters = open_bus.dead_letters(topic, channel)
        found = letters.list(limit=limit, where=_filter(ids, since, reason))
        if as_json:
            typer.echo(json.dumps([_tree(each) for each in found], ensure_ascii=False))
            return
        if found:
            out.print(_table(found))
        there = letters.count()
        say(f"{len(found):,} of {there:,} dead letters of {topic} on {channel}")


@app.command("show")
def show_command(
    topic: Topic,
    channel: Channel,
    ids: Annotated[list[str], typer.Option("--id", help="Id of an event, or its beginning; may be given several times.")],
    as_json: AsJson = False,
    bus: BusUrl = None,
) -> None:
    """Show dead letters whole: why, and the event as it was sent; hex where it is none. They stay where they are.

    Example: eventbus dead show orders_placed fulfillment --id 0199a1
    """
    with reported("dead show"), connected(bus) as open_bus:
        found = open_bus.dead_letters(topic, channel).list(limit=100, where=_filter(ids, None, None))
        if as_json:
            typer.echo(json.dumps([_tree(each) for each in found], ensure_ascii=False))
        else:
            for letter in found:
                _show(letter)
        if not found:
            raise ConfigurationError(f"no dead letter of {topic} on {channel} has that id; see: eventbus dead list")


@app.command("replay")
def replay_command(
    topic: Topic,
    channel: Channel,
    ids: Ids = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most that are replayed.")] = None,
    since: Since = None,
    reason: Reason = None,
    bus: BusUrl = None,
) -> None:
    """Send dead letters to their channel again, and to no other.

    Safe to interrupt at any point: nothing is lost, and at worst one comes twice.

    Example: eventbus dead replay orders_placed fulfillment --reason Timeout --limit 100
    """
    with reported("dead replay"), connected(bus) as open_bus:
        letters = open_bus.dead_letters(topic, channel)
        where = _filter(ids, since, reason)
        _go_through(
            letters,
            "replayed",
            lambda done: letters.replay(limit=limit, where=where, on_each=done),
            is_filtered=where is not None,
        )


@app.command("discard")
def discard_command(
    topic: Topic,
    channel: Channel,
    ids: Ids = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most that are thrown away.")] = None,
    since: Since = None,
    reason: Reason = None,
    yes: Yes = False,
    bus: BusUrl = None,
) -> None:
    """Throw dead letters away for good. Asks first.

    Example: eventbus dead discard orders_placed fulfillment --since 1h --reason "no such article"
    """
    with reported("dead discard"), connected(bus) as open_bus:
        letters = open_bus.dead_letters(topic, channel)
        where = _filter(ids, since, reason)
        there = letters.count()
        which = f"up to {min(limit or there, there):,} of " if where is not None or limit is not None else "all "
        if not confirmed(f"Throw {which}{there:,} dead letters of {topic} on {channel} away for good?", yes=yes):
            say("nothing was thrown away")
            raise typer.Exit(FAILED)
        _go_through(
            letters,
            "thrown away",
            lambda done: letters.discard(limit=limit, where=where, on_each=done),
            is_filtered=where is not None,
        )


def _go_through(
    letters: DeadLetters, verb: str, act: Callable[[Callable[[DeadLetter], None]], int], *, is_filtered: bool
) -> None:
    """Run `act` under a progress bar; say how far it came, also when it is interrupted."""
    done = 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=complaints, disable=not complaints.is_terminal, transient=True) as progress:
        task = progress.add_task(verb, total=letters.count() or None)

        def count(letter: DeadLetter) -> None:
            nonlocal done
            done += 1
            if done % 20 == 0:
                progress.update(task, completed=done)

        try:
            act(count)
        except (EventBusError, KeyboardInterrupt):
            complain(f"{done:,} {verb} before it was interrupted; the others are still parked")
            raise
    left = letters.count()
    say(f"{done:,} {verb}, {left:,} left")
    if left and not done and not is_filtered:
        complain("another command holds them; if that was killed, they come back within 20 s", style="yellow")


def _filter(ids: list[str] | None, since: str | None, reason: str | None) -> Where | None:
    """Return what the options choose, or None for all.

    Raises:
        ConfigurationError: `since` is no time.
    """
    if ids is None and since is None and reason is None:
        return None
    begins = tuple(ids or ())
    earliest = None if since is None else _instant(since)
    text = None if reason is None else reason.casefold()

    def fits(letter: DeadLetter) -> bool:
        return (
            (not begins or letter.id.startswith(begins))
            and (earliest is None or letter.last >= earliest)
            and (text is None or text in f"{letter.reason}\n{letter.error or ''}".casefold())
        )

    return fits


def _instant(text: str) -> datetime:
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return datetime.now(UTC) - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"--since {text}: write 15m, 2h, 3d, or an instant as 2026-01-31T12:00:00Z") from None
    return instant if instant.tzinfo is not None else instant.astimezone()


# -- showing ------------------------------------------------------------------------------------------------------------


def _age(letter: DeadLetter) -> str:
    seconds = max((datetime.now(UTC) - letter.last).total_seconds(), 0.0)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:.0f}s"


def _table(found: list[DeadLetter]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("id", "type", "age", "attempts"):
        table.add_column(heading, no_wrap=True, justify="right" if heading in ("age", "attempts") else "left")
    table.add_column("reason: error", overflow="fold", min_width=20)
    for each in found:
        table.add_row(
            Text(one_line(each.id), "cyan"),
            Text(one_line(each.event_type or "?")),
            _age(each),
            str(each.attempts),
            Text(one_line(each.reason), "red").append(f": {one_line(each.error)}" if each.error else "", "default"),
        )
    return table


def _show(letter: DeadLetter) -> None:
    for name, value in (
        ("id", letter.id),
        ("type", letter.event_type or "unknown"),
        ("from", f"{letter.topic} on channel {letter.channel}"),
        ("reason", letter.reason),
        ("error", letter.error or "none"),
        ("place", letter.place or "unknown"),
        ("attempts", str(letter.attempts)),
        ("first", letter.first.isoformat()),
        ("parked", f"{letter.last.isoformat()} ({_age(letter)} ago)"),
    ):
        out.print(Text(f"{name:<9}", "dim").append(one_line(value, most=2000), "red" if name == "reason" else "default"))
    tree = _tree(letter)
    if "event" in tree:
        text = json.dumps(tree["event"], indent=2, ensure_ascii=False)
        out.print(Text("\n".join(one_line(line, most=4000) for line in text.splitlines())))
    else:
        more = "…" if len(letter.body) > _MOST_BYTES else ""
        out.print(Text(f"{len(letter.body):,} bytes that are no event: {letter.body[:_MOST_BYTES].hex()}{more}"))
    out.print()


def _tree(letter: DeadLetter) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "id": letter.id,
        "topic": letter.topic,
        "channel": letter.channel,
        "type": letter.event_type,
        "reason": letter.reason,
        "error": letter.error,
        "place": letter.place,
        "attempts": letter.attempts,
        "first": letter.first.isoformat(),
        "parked": letter.last.isoformat(),
    }
    try:
        tree["event"] = letter.envelope().attributes("application/json")
    except DecodeError as error:
        tree["undecodable"] = error.reason
        tree["hex"] = letter.body.hex()
    return tree
