"""The command `eventbus topics`: every topic with its channels, once."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Annotated

import typer

from eventbus.cli.options import AsJson, BusUrl
from eventbus.cli.session import connected, out, reported
from eventbus.cli.tables import Users, as_json, table

app = typer.Typer(add_completion=False)


@app.command()
def topics(
    pattern: Annotated[str, typer.Argument(help="Topics to show, with * for any text.")] = "*",
    users: Users = False,
    json_wanted: AsJson = False,
    bus: BusUrl = None,
) -> None:
    """List topics and channels: what waits, what is being handled, what was given back, who listens.

    Example: eventbus topics 'orders_*' --json
    """
    with reported("topics"), connected(bus) as open_bus:
        found = {name: each for name, each in open_bus.engine.stats().items() if fnmatchcase(name, pattern)}
        if json_wanted:
            typer.echo(json.dumps(as_json(found)))
        elif found:
            out.print(table(found, has_users=users))
        else:
            typer.echo("no topic" if pattern == "*" else f"no topic fits {pattern}", err=True)
