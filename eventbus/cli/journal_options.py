"""What the commands `eventbus journal ...` have in common: where the journal is, and which events are meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated

import typer

from eventbus.cli.instants import read_instant
from eventbus.cli.session import complain, quietly, reported
from eventbus.journal import Reading, open_reading
from eventbus.journal.addresses import journal_url
from eventbus.journal.log_reading import MOST_INDEXED, LogReading
from eventbus.settings import BusSettings

JournalUrl = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar="EVENTBUS_JOURNAL_URL",
        help="Where the journal is, as sqlite:///journal.db; that of the bus unless given, if it is one.",
        metavar="URL",
    ),
]
Subject = Annotated[str | None, typer.Option("--subject", help="Events about this alone.")]
Type = Annotated[str | None, typer.Option("--type", help="Events of this type alone.")]
Since = Annotated[
    str | None, typer.Option("--since", help="Published since then: 15m, 2h, 3d ago, or an instant.", metavar="T")
]
Until = Annotated[str | None, typer.Option("--until", help="Published before that.", metavar="T")]


def bus_address(bus: str | None) -> str:
    """Return the URL of the bus: as given on the command line, or in the environment."""
    return bus or BusSettings.from_environment().url


def instant(text: str | None, option: str) -> float | None:
    """Return an instant as people write it, in seconds since 1970; None for none.

    Raises:
        ConfigurationError: it is none.
    """
    return None if text is None else read_instant(text, option).timestamp()


@contextmanager
def reading(command: str, database: str | None, bus: str | None) -> Iterator[Reading]:
    """Yield the journal that options name; errors become words and an exit code."""
    with reported(f"journal {command}"):
        quietly()
        url = journal_url(database, bus_address(bus)).render_as_string(hide_password=False)
        with closing(open_reading(url)) as found:
            if isinstance(found, LogReading):
                complain(
                    f"no journal is kept there: of its log the newest {MOST_INDEXED:,} events are looked at; "
                    "`eventbus journal` indexes all",
                    style="yellow",
                )
            yield found
