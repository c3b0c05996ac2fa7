"""The commands `eventbus journal ...`, and `record` itself: keeps what is published, to be searched later."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated, Any

import sqlalchemy as sa
import typer
from typer.core import TyperGroup

from eventbus.cli.amounts import read_size, read_span
from eventbus.cli.journal_find import export_command, find_command
from eventbus.cli.journal_options import JournalUrl, bus_address
from eventbus.cli.journal_replay import replay_command
from eventbus.cli.journal_show import show_command
from eventbus.cli.options import BusUrl
from eventbus.cli.session import connected, reported, say
from eventbus.errors import ConfigurationError
from eventbus.journal.addresses import is_of_bus, journal_url
from eventbus.journal.channels import ChannelSource
from eventbus.journal.log_index import LogSource
from eventbus.journal.recorder import Recorder
from eventbus.journal.store import Store, journal_database
from eventbus.journal.taking import Source
from eventbus.names import check_name
from eventbus.sql import Database

RECORD = "record"


class _Recording(TyperGroup):
    """Takes what names no command of the group for words of `record`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `record` before the words that are meant for it."""
        if not args or (args[0] not in self.commands and args[0] not in ("--help", *ctx.help_option_names)):
            args = [RECORD, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(add_completion=False, cls=_Recording)


@app.callback()
def journal() -> None:
    """Keep what is published and what became of it in a database; find, show and replay it.

    Without a command it keeps: see `eventbus journal record --help`.
    """


@contextmanager
def _refusals_told(database: Database) -> Iterator[None]:
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        why = str(getattr(error, "orig", None) or error).strip().split("\n", 1)[0]
        raise ConfigurationError(
            f"{database!r} refuses what a journal writes ({why}); give its role the right to, or name another database. "
            "Events that are not in it stay on their channel"
        ) from None


@app.command(RECORD)
def record(
    topics: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TOPIC]...", help="Topics to keep; all, and those that come, unless given."),
    ] = None,
    database: JournalUrl = None,
    keep: Annotated[str | None, typer.Option(help="How long, as 12h or 7d; for ever unless given.", metavar="SPAN")] = None,
    max_bytes: Annotated[
        str | None, typer.Option("--max-bytes", help="How much, as 512M or 20G; the oldest goes first.", metavar="SIZE")
    ] = None,
    bodies: Annotated[
        bool, typer.Option("--bodies", help="Keep the events' data too, so that they can be replayed.")
    ] = False,
    bus: BusUrl = None,
) -> None:
    """Keep what is published from now on, and what services tell of it, until SIGTERM or Ctrl-C. `record` may be left out.

    Takes a copy of each event from a channel `journal` on each topic, so that nothing is missed while it is not running.
    On sqlite:// and postgresql:// buses without --database nothing is copied: the bus's own log is indexed where it is.

    Example: eventbus journal record --database sqlite:///journal.db --keep 7d --max-bytes 20G --bus nsq://127.0.0.1:4161
    """
    with reported("journal"):
        for each in topics or ():
            check_name(each, kind="topic")
        seconds = None if keep is None else read_span(keep, "--keep")
        size = None if max_bytes is None else read_size(max_bytes, "--max-bytes")
        with connected(bus) as open_bus:
            logging.getLogger("eventbus.journal").setLevel(logging.WARNING)
            address = journal_url(database, bus_address(bus))
            with closing(journal_database(address)) as opened, _refusals_told(opened):
                opened.ping()
                store = Store(opened, keep=float("inf") if seconds is None else seconds, max_bytes=size)
                store.prepare()
                source: Source
                if is_of_bus(address, bus_address(bus)):
                    source = LogSource(open_bus, store, topics or ())
                else:
                    source = ChannelSource(open_bus, topics or (), with_bodies=bodies)
                recorder = Recorder(open_bus, store, source, is_away=opened.is_away)
                say(f"journal in {opened!r} from {open_bus.engine.scheme}://")
                try:
                    recorder.run()
                except KeyboardInterrupt:  # as it is meant to end
                    pass
                finally:
                    say(
                        f"{recorder.written:,} events and {recorder.records:,} records written; {recorder.doubles:,} were "
                        f"there already, {recorder.unreadable:,} were no events"
                    )


app.command("find")(find_command)
app.command("show")(show_command)
app.command("export")(export_command)
app.command("replay")(replay_command)
