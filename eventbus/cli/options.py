"""Options that several commands share, so that they are called the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BusUrl = Annotated[
    str | None, typer.Option("--bus", envvar="EVENTBUS_URL", help="URL of the bus, as nsq://127.0.0.1:4161.", metavar="URL")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Topic = Annotated[str, typer.Argument(metavar="TOPIC", help="Name of the topic.")]
Channel = Annotated[str, typer.Argument(metavar="CHANNEL", help="Name of the channel: of the service, as a rule.")]
Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODULE:SERVICE]...",
        help="Services as module:attribute; those of \\[tool.eventbus] in pyproject.toml unless given.",
    ),
]
AppDir = Annotated[
    Path | None,
    typer.Option("--app-dir", envvar="EVENTBUS_APP_DIR", help="Folder to import from; the current one unless given."),
]
Factory = Annotated[
    bool, typer.Option("--factory", envvar="EVENTBUS_FACTORY", help="The attribute is a function that returns services.")
]
Contracts = Annotated[
    str, typer.Option("--contracts", envvar="EVENTBUS_CONTRACTS_FROM", help="Folder, wheel or http(s) address of contracts.")
]
