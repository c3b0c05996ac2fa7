"""The command `eventbus contracts codegen`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eventbus.cli.contract_options import FOLDER, Folder, fail, say
from eventbus.contracts.codegen import codegen
from eventbus.contracts.sources import load_contracts
from eventbus.errors import ConfigurationError


def codegen_command(
    to: Annotated[str, typer.Option(help="The language: typescript or go.")],
    out: Annotated[Path, typer.Option(help="Folder of the code.")] = Path("build/events"),
    contracts: Folder = FOLDER,
    generator: Annotated[
        str, typer.Option(envvar="EVENTBUS_QUICKTYPE", help="quicktype's program, by name or path.")
    ] = "quicktype",
) -> None:
    """Write types of other languages, and functions that read them, from the contracts; quicktype makes them.

    Example: eventbus contracts codegen --to typescript --out web/src/events
    """
    try:
        paths = codegen(load_contracts(contracts), to, out, generator=generator)
    except ConfigurationError as error:
        raise fail(error) from None
    say([f"wrote {path}" for path in paths], bad=False)
