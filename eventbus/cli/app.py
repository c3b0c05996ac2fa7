"""The commands and where each is found. A distribution adds its own as entry points of the group `eventbus.commands`."""

from __future__ import annotations

from importlib.metadata import entry_points

import typer

import eventbus
from eventbus.cli import contracts

app = typer.Typer(name="eventbus", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def root() -> None:
    """Domain events for Python services, on gevent and NSQ."""


@app.command()
def version() -> None:
    """Print the version. Example: eventbus version"""
    typer.echo(eventbus.__version__)


app.add_typer(contracts.app, name="contracts")

for point in sorted(entry_points(group="eventbus.commands"), key=lambda each: each.name):
    app.command(name=point.name)(point.load())
