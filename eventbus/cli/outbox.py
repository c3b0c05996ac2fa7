"""The commands `eventbus outbox list|drop|subscribers|forget|tables|ddl`: what waits in an outbox, and who is waited for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from eventbus.cli.options import AsJson, Yes
from eventbus.cli.session import FAILED, confirmed, out, reported, say
from eventbus.errors import ConfigurationError
from eventbus.runtime.redaction import one_line
from eventbus.sql import Database, metadata
from eventbus.sql.administration import all_subscribers, drop, forget, open_rows
from eventbus.sql.drivers import parsed_url
from eventbus.sql.schema import statements

app = typer.Typer(
    add_completion=False,
    help="Look at what waits in an outbox and at whom it waits for; drop rows, forget subscribers, make the tables.",
    no_args_is_help=True,
)

Url = Annotated[
    str,
    typer.Option(
        "--database",
        envvar="EVENTBUS_DATABASE_URL",
        help="The service's database, as postgresql://user@host/name.",
        metavar="URL",
    ),
]
TopicOption = Annotated[str | None, typer.Option("--topic", help="Rows of this topic alone.")]


@contextmanager
def _opened(command: str, url: str, *, is_checked: bool = True) -> Iterator[Database]:
    with reported(command):
        database = Database(url)
        try:
            database.ping()
            if is_checked:
                database.check_tables()
            yield database
        finally:
            database.close()


@app.command("list")
def list_command(
    database: Url,
    topic: TopicOption = None,
    refused: Annotated[bool, typer.Option("--refused", help="Only rows that the broker refused.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Most that are shown.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List rows that are not settled, oldest first: waiting to be published, refused, or waiting for receipts.

    Example: eventbus outbox list --refused --database postgresql://orders@localhost/orders
    """
    with _opened("outbox list", database) as opened:
        rows = open_rows(opened, topic=topic, refused=refused, limit=limit)
        if as_json:
            typer.echo(json.dumps([asdict(each) for each in rows]))
            return
        table = _table("id", "topic", "type", "state", "age", "sent", "bytes", "error")
        for row in rows:
            table.add_row(
                *(Text(one_line(each)) for each in (row.event_id, row.topic, row.type, row.state)),
                _age(row.created_at),
                str(row.attempts),
                f"{row.size:,}",
                Text(one_line(row.error or ""), "red"),
            )
        if rows:
            out.print(table)
        say(f"{len(rows):,} rows{' or more' if len(rows) == limit else ''}")


@app.command("drop")
def drop_command(
    database: Url,
    ids: Annotated[list[str], typer.Option("--id", help="Id of an event, whole; may be given several times.")],
    yes: Yes = False,
) -> None:
    """Remove rows for good: their events are not published, or not sent again. Asks first.

    Example: eventbus outbox drop --id 0199a1c2-... --database sqlite:///orders.db
    """
    with _opened("outbox drop", database) as opened:
        if not confirmed(f"Throw {len(ids):,} events away for good?", yes=yes):
            say("nothing was thrown away")
            raise typer.Exit(FAILED)
        count = drop(opened, ids)
        say(f"{count:,} of {len(ids):,} rows were removed")
        if not count:
            raise ConfigurationError("no row that is not settled has that id; see: eventbus outbox list")


@app.command("subscribers")
def subscribers_command(database: Url, as_json: AsJson = False) -> None:
    """List the channels that keep an inbox, and when they last said so. An outbox waits for their receipts.

    Example: eventbus outbox subscribers --database postgresql://orders@localhost/orders
    """
    with _opened("outbox subscribers", database) as opened:
        found = all_subscribers(opened)
        if as_json:
            typer.echo(json.dumps([asdict(each) for each in found]))
            return
        table = _table("topic", "channel", "type", "bound", "last heard of")
        for each in found:
            names = (Text(one_line(text)) for text in (each.topic, each.channel, each.type))
            table.add_row(*names, _age(each.since), _age(each.seen_at))
        if found:
            out.print(table)
        say(f"{len(found):,} subscribers")


@app.command("forget")
def forget_command(
    topic: Annotated[str, typer.Argument(help="The topic.")],
    channel: Annotated[str, typer.Argument(help="The channel that is gone for good.")],
    database: Url,
) -> None:
    """Wait no more for a channel that is gone for good. One that lives comes back by itself, within a minute or so.

    Example: eventbus outbox forget orders_placed old_service --database postgresql://orders@localhost/orders
    """
    with _opened("outbox forget", database) as opened:
        if not forget(opened, topic, channel):
            raise ConfigurationError(f"{channel} on {topic} is not waited for; see: eventbus outbox subscribers")
        say(f"{channel} on {topic} is forgotten")


@app.command("tables")
def tables_command(
    database: Url,
    create: Annotated[
        bool, typer.Option("--create", help="Make what is missing, and bring older tables up to date.")
    ] = False,
) -> None:
    """Check the tables of outbox and inbox, or make them.

    Example: eventbus outbox tables --create --database postgresql://orders@localhost/orders
    """
    with _opened("outbox tables", database, is_checked=not create) as opened:
        if create:
            opened.create_tables(metadata)
        say("the tables are there, in the version of this library")


@app.command("ddl")
def ddl_command(database: Url) -> None:
    """Print the SQL that makes the tables of outbox and inbox in an empty database. Connects to none.

    The URL says of which kind it is, and `?schema=events` names a schema of PostgreSQL's.

    Example: eventbus outbox ddl --database postgresql://billing@localhost/billing?schema=events
    """
    with reported("outbox ddl"):
        url, schema = parsed_url(database)
        kind = url.get_backend_name()
        if kind not in ("postgresql", "sqlite"):
            raise ConfigurationError(f"database {kind!r}: unknown; give sqlite or postgresql")
        for statement in statements(kind, schema):
            typer.echo(f"{statement};\n")


def _table(*headings: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _age(instant: float) -> Any:
    seconds = max(datetime.now(UTC).timestamp() - instant, 0.0)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:.0f}s"
