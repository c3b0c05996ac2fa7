"""The command `eventbus contracts sunset`: whether a version of an event may go, asked of what really runs."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from eventbus.cli.amounts import read_span
from eventbus.cli.contract_options import AsJson
from eventbus.cli.options import BusUrl, Topic
from eventbus.cli.session import INCOMPATIBLE, connected, reported, say, say_json
from eventbus.errors import ConfigurationError, DatabaseUnreachableError
from eventbus.names import check_name


def sunset_command(
    topic: Topic,
    type_name: Annotated[str, typer.Argument(metavar="TYPE", help="Name of the event.")],
    version: Annotated[int, typer.Argument(min=1, help="Its version.")],
    database: Annotated[
        str | None,
        typer.Option(
            "--database",
            envvar="EVENTBUS_JOURNAL_URL",
            help="The journal, as sqlite:///journal.db; that of the bus unless given, if it is in a database.",
            metavar="URL",
        ),
    ] = None,
    outboxes: Annotated[
        list[str] | None,
        typer.Option("--outbox", help="Database with an outbox to look into; may be given several times.", metavar="URL"),
    ] = None,
    quiet: Annotated[str, typer.Option(help="For how long nobody must have sent it.", metavar="SPAN")] = "7d",
    as_json: AsJson = False,
    bus: BusUrl = None,
) -> None:
    """Say whether a version of an event may go: who sends and reads it still, and where any lies. Exit code 4 when not.

    Asked are a journal (`eventbus journal`), the channels and dead letters of the topic, and the outboxes that are named.

    Example: eventbus contracts sunset orders_placed OrderPlaced 1 --database sqlite:///journal.db --outbox sqlite:///orders.db
    """
    with reported("contracts sunset"), ExitStack() as stack:
        check_name(topic, kind="topic")
        seconds = read_span(quiet, "--quiet")
        try:
            import sqlalchemy as sa

            from eventbus.cli.journal_options import reading
            from eventbus.journal.sunset import Version, may_go
            from eventbus.sql import Database
        except ModuleNotFoundError:
            raise ConfigurationError("needs its extra: pip install 'eventbus[sql]'") from None
        journal = stack.enter_context(reading("sunset", database, bus))
        opened = [Database(each) for each in outboxes or ()]
        for each in opened:
            stack.callback(each.close)
            each.ping()
            each.check_tables()
        open_bus = stack.enter_context(connected(bus))
        uses = journal.uses(topic, type_name, version)
        try:
            answer = may_go(Version(topic, type_name, version), uses, open_bus, opened, quiet=seconds, now=time.time())
        except sa.exc.SQLAlchemyError as error:
            raise DatabaseUnreachableError(f"an outbox cannot be read: {error}") from None
        if as_json:
            say_json(_tree(answer))
        else:
            _print(answer, f"{type_name} v{version}")
        if answer.obstacles:
            raise typer.Exit(INCOMPATIBLE)


def _print(answer: Any, name: str) -> None:
    for title, uses in (("sent by", answer.uses.senders), ("had by channel", answer.uses.readers)):
        for each in uses:
            say(f"{title} {each.name}: {each.count:,}, last {_when(each.last)}")
    if answer.uses.begin is not None:
        say(f"the journal begins {_when(answer.uses.begin)}")
    for note in answer.notes:
        say(f"note: {note}", style="yellow")
    for obstacle in answer.obstacles:
        say(f"not yet: {obstacle}", style="red")
    if not answer.obstacles:
        say(f"{name} may go: eventbus contracts retire", style="green")


def _tree(answer: Any) -> dict[str, Any]:
    def uses(found: Any) -> list[dict[str, Any]]:
        return [{"name": each.name, "count": each.count, "last": _when(each.last)} for each in found]

    begin = answer.uses.begin
    return {
        "may": not answer.obstacles,
        "obstacles": answer.obstacles,
        "notes": answer.notes,
        "senders": uses(answer.uses.senders),
        "readers": uses(answer.uses.readers),
        "begin": None if begin is None else _when(begin),
    }


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
