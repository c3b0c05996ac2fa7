"""The commands `eventbus journal find` and `eventbus journal export`: events of a journal, as a list and as CloudEvents."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from eventbus.cli.journal_options import JournalUrl, Since, Subject, Type, Until, instant, reading
from eventbus.cli.options import AsJson, BusUrl
from eventbus.cli.session import FAILED, complain, out, say_json
from eventbus.cli.showing import NoData, ShowPersonal
from eventbus.dead_letters.sight import Sight
from eventbus.errors import DecodeError
from eventbus.journal import Logged
from eventbus.journal.finding import MOST_FOUND
from eventbus.names import check_name
from eventbus.runtime.redaction import one_line
from eventbus.wire.codec import decode
from eventbus.wire.identity import InstantWriter
from eventbus.wire.limits import Limits


def find_command(
    text: Annotated[
        str,
        typer.Argument(
            metavar="[TEXT]", help="An id or a subject or its beginning (4 characters), a correlation, or a type."
        ),
    ] = "",
    subject: Subject = None,
    type_: Type = None,
    since: Since = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=MOST_FOUND, help="Most that are shown.")] = 50,
    as_json: AsJson = False,
    database: JournalUrl = None,
    bus: BusUrl = None,
) -> None:
    """Find events in the journal, the newest first.

    Example: eventbus journal find 5f51 --type OrderPlaced --since 3d --database sqlite:///journal.db
    """
    with reading("find", database, bus) as journal:
        found = journal.find(text, subject=subject, type=type_, since=instant(since, "--since"), limit=limit)
        if as_json:
            for each in found:
                say_json(attributes(each))
            return
        if not found:
            complain("the journal has no such event", style="yellow")
            raise typer.Exit(FAILED)
        table = Table(box=SIMPLE_HEAD)
        for name in ("time", "type", "from", "topic", "subject", "id"):
            table.add_column(name, no_wrap=True)
        for each in found:
            when = datetime.fromtimestamp(each.time, UTC).strftime("%Y-%m-%d %H:%M:%S")
            cells = (when, f"{each.type} v{each.version}", each.source, each.topic, each.subject or "", each.id)
            table.add_row(*(Text(one_line(cell)) for cell in cells))
        out.print(table)


def export_command(
    topic: Annotated[str | None, typer.Option("--topic", help="Events of this topic alone.")] = None,
    subject: Subject = None,
    type_: Type = None,
    since: Since = None,
    until: Until = None,
    personal: ShowPersonal = False,
    no_data: NoData = False,
    database: JournalUrl = None,
    bus: BusUrl = None,
) -> None:
    """Print events of the journal as CloudEvents, one JSON object a line, in the order in which they came.

    Data are there where the journal has them: from a bus in a database, or with `--bodies`.

    Example: eventbus journal export --since 1d --database sqlite:///journal.db
    """
    with reading("export", database, bus) as journal:
        if topic is not None:
            check_name(topic, kind="topic")
        sight = Sight(personal, not no_data)
        span = {"since": instant(since, "--since"), "until": instant(until, "--until")}
        for each in journal.past(topic=topic, subject=subject, type=type_, **span):
            say_json(cloud_event(each, sight))


def attributes(logged: Logged) -> dict[str, Any]:
    """Return the attributes of an event as CloudEvents calls them, as far as the journal keeps them beside the body."""
    found = {
        "specversion": "1.0",
        "id": logged.id,
        "source": logged.source,
        "type": logged.type,
        "time": InstantWriter().write(logged.time),
        "dataversion": logged.version,
        "correlationid": logged.correlation,
        "causationid": logged.cause,
        "subject": logged.subject,
        "topic": logged.topic,
    }
    return {name: value for name, value in found.items() if value is not None}


def cloud_event(logged: Logged, sight: Sight) -> dict[str, Any]:
    """Return an event in CloudEvents' JSON format, with its data where they are known and may be seen."""
    if logged.body is None:
        return attributes(logged)
    try:
        envelope = decode(logged.body, Limits(max_bytes=max(len(logged.body), 1)))
    except DecodeError:  # a log may hold other bytes there by now
        return attributes(logged)
    found: dict[str, Any] = _as_text({**sight.attributes(envelope), "topic": logged.topic})
    if not sight.with_data:
        del found["data"]
    return found


def _as_text(tree: Any) -> Any:
    """The tree with bytes as base64, which is how they stand in CloudEvents' JSON format and in events."""
    if isinstance(tree, dict):
        return {key: _as_text(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_as_text(value) for value in tree]
    return base64.b64encode(tree).decode() if isinstance(tree, bytes) else tree
