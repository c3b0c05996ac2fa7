"""The command `eventbus version`."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version

import typer

import eventbus
from eventbus.cli.options import AsJson
from eventbus.wire.packing import LIBRARY
from eventbus.wire.scanning import READER

app = typer.Typer(add_completion=False)

PARTS = ("gevent", "gnsq", "msgpack", "ormsgpack", "pydantic", "SQLAlchemy", "psycopg", "opentelemetry-sdk")


def versions() -> dict[str, str]:
    """Return what is installed, by the name of its distribution."""
    found = {"eventbus": eventbus.__version__, "python": platform.python_version(), "packing": LIBRARY, "reading": READER}
    for name in PARTS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@app.command()
def version_command(as_json: AsJson = False) -> None:
    """Print the version, and those of what it stands on.

    Example: eventbus version --json
    """
    found = versions()
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(found.pop("eventbus"))
    typer.echo(", ".join(f"{name} {value}" for name, value in found.items()))
