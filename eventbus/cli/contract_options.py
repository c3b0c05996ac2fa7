"""What the commands `eventbus contracts ...` have alike: their options and their words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eventbus.cli.session import complaints, out

Folder = Annotated[
    str,
    typer.Option("--contracts", envvar="EVENTBUS_CONTRACTS_FROM", help="Folder, wheel or http(s) address of the contracts."),
]
Services = Annotated[
    list[str] | None,
    typer.Argument(help="Services as module:attribute; those of \\[tool.eventbus] in pyproject.toml unless given."),
]
Golden = Annotated[Path, typer.Option(help="Folder of the kept bytes.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsSarif = Annotated[bool, typer.Option("--sarif", help="Print SARIF 2.1.0, for code review.")]
FOLDER = "contracts"
GOLDEN = Path("tests/contracts/golden")


def fail(error: Exception, code: int = 2) -> typer.Exit:
    """Say what is wrong; return what ends the command."""
    complaints.print(f"eventbus contracts: {error}", style="red", markup=False, highlight=False)
    return typer.Exit(code)


def say(lines: list[str], *, bad: bool) -> None:
    """Print lines; on standard error where they are bad."""
    for line in lines:
        (complaints if bad else out).print(line, style="red" if bad else None, markup=False, highlight=False)
