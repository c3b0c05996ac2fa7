"""The command `eventbus journal show`: an event's causes, effects and deliveries, as a tree."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.text import Text

from eventbus.cli.journal_find import cloud_event
from eventbus.cli.journal_options import JournalUrl, reading
from eventbus.cli.options import AsJson, BusUrl
from eventbus.cli.session import FAILED, complain, out, say, say_json
from eventbus.cli.showing import NoData, ShowPersonal
from eventbus.dead_letters.sight import Sight
from eventbus.journal import Chain, Logged
from eventbus.journal.tree import walk
from eventbus.outcomes import Record
from eventbus.runtime.redaction import one_line

_DEEPEST = 20
"""Steps to the right; what lies deeper stands below one another."""
_BAD = {"retried", "parked", "dropped", "returned", "expired"}


def show_command(
    key: Annotated[str, typer.Argument(metavar="ID", help="Id of an event or its beginning, a correlation, or a subject.")],
    personal: ShowPersonal = False,
    no_data: NoData = False,
    as_json: AsJson = False,
    database: JournalUrl = None,
    bus: BusUrl = None,
) -> None:
    """Show an event with its causes and effects over all services, and what became of each delivery.

    Example: eventbus journal show 5f512e18 --database sqlite:///journal.db
    """
    with reading("show", database, bus) as journal:
        chain = journal.chain(key)
        if chain is None:
            complain(f"the journal has no event {one_line(key)}, or several chains that begin so", style="yellow")
            raise typer.Exit(FAILED)
        sight = Sight(personal, not no_data)
        if as_json:
            say_json(
                {
                    "correlation": chain.correlation,
                    "events": [cloud_event(each, sight) for each in chain.events],
                    "records": [asdict(each) for each in chain.records],
                    "is_cut": chain.is_cut,
                }
            )
            return
        _print(chain, key, sight)


def _print(chain: Chain, key: str, sight: Sight) -> None:
    for node in walk(chain):
        indent = "  " * min(node.depth, _DEEPEST)
        if node.event is None:
            out.print(Text(f"event {one_line(node.records[0].id)}, which is not in the journal", "yellow"))
        else:
            is_meant = node.event.id.startswith(key) or node.event.subject == key
            out.print(_line(node.event, f"{indent}{'└ ' if node.depth else ''}", "bold green" if is_meant else "green"))
            shown = cloud_event(node.event, sight) if node.event.id.startswith(key) else {}
            if "data" in shown:
                data = shown["data"]
                out.print(Text(f"{indent}    {one_line(json.dumps(data, ensure_ascii=False), most=4000)}", "dim"))
        for record in node.records:
            out.print(Text(f"{indent}    {_told(record)}", "red" if record.outcome in _BAD else "default"))
    if chain.is_cut:
        say("... and more: only the beginning of this chain is shown", style="yellow")


def _line(event: Logged, begin: str, style: str) -> Text:
    line = Text(begin, "dim").append(f"{_clock(event.time)}  ", "dim")
    line.append(f"{one_line(event.type)} v{event.version}", style)
    line.append(f" from {one_line(event.source)} on {event.topic}  ", "default").append(one_line(event.id), "cyan")
    return line.append(f"  {one_line(event.subject)}", "default") if event.subject else line


def _told(record: Record) -> str:
    """Return what became of a delivery, or of a row of an outbox, in a line."""
    who = one_line(record.instance)
    if record.is_of_row:
        return f"{_clock(record.end)}  {record.outcome} by the outbox of {one_line(record.service)} ({who})"
    said = f"{_clock(record.end)}  {record.channel}: {record.outcome} by {who}, attempt {record.attempt}"
    if record.published is not None and record.attempt == 1:
        said += f", waited {_span(record.begin - record.published)}"
    said += f", ran {_span(record.end - record.begin)}"
    if record.error is not None:
        said += f"; {one_line(record.error)}" + (f" at {one_line(record.place)}" if record.place else "")
    return said + (f"; comes again at {_clock(record.again)}" if record.again is not None else "")


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _span(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if abs(seconds) < 1 else f"{seconds:.1f} s"
