"""The command `eventbus new service`: a service to begin with, whose tests pass."""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from eventbus.cli.new_files import Greeted, files_of
from eventbus.cli.options import Contracts
from eventbus.cli.session import reported, say
from eventbus.contracts.contract import Contract, contract_of
from eventbus.contracts.sources import load_contracts
from eventbus.contracts.writing import write_whole
from eventbus.errors import ConfigurationError
from eventbus.names import check_name

_TAKEN = {"eventbus", "tests", "contracts", "sqlalchemy", "pytest"}

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Write the beginnings of a service, tests included.")


@app.callback()
def group() -> None:
    """Write the beginnings of a service, tests included."""


@app.command("service")
def service_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the service: its package and its channel.")],
    reads: Annotated[
        str | None,
        typer.Option(metavar="TOPIC", help="Topic whose event it handles; may be left out where there is only one."),
    ] = None,
    contracts: Contracts = "contracts",
    into: Annotated[Path, typer.Option(help="Folder of the project.")] = Path(),
) -> None:
    """Write a service with an inbox, its view of an event, its tests and its entry for docker compose; overwrite nothing.

    The view has the simple fields that the event's contract requires, personal ones left out. Where there are no contracts
    yet, an event and its contract are made up, so that there is something to read.

    Example: eventbus new service shipping --reads orders_placed
    """
    with reported("new service"):
        if not re.fullmatch(r"[a-z][a-z0-9_]*", check_name(name, kind="channel")) or keyword.iskeyword(name):
            raise ConfigurationError(f"{name!r} cannot be a package; give small letters, digits and _, a letter first")
        if name in sys.stdlib_module_names or name in _TAKEN:
            raise ConfigurationError(f"{name!r} would stand in the way of a package of that name; give another one")
        made: dict[Path, str] = {}
        contract = _chosen(contracts, reads, into)
        if contract is None:
            contract = contract_of(Greeted, "greeter")
            made[Path("contracts") / contract.path] = contract.to_json()
        made |= files_of(name, contract, contracts)
        there = [str(into / path) for path in made if (into / path).exists()]
        if there:
            raise ConfigurationError(
                f"{', '.join(there)}: there already, and nothing was written; give another name or --into"
            )
        for path, text in made.items():
            write_whole(into / path, text)
            say(f"wrote {into / path}")
        say(f"\npython -m pytest tests/test_{name}.py\neventbus run --factory {name}.app:build")


def _chosen(source: str, topic: str | None, into: Path) -> Contract | None:
    """Return the contract of the event to read, the newest version of it; None where there are no contracts at all."""
    if not source.startswith(("http://", "https://")):
        where = into / source
        if not where.exists() or (where.is_dir() and not any(where.iterdir())):
            if topic is not None or source != "contracts":
                raise ConfigurationError(f"there are no contracts in {where}; give --contracts FOLDER, or leave out --reads")
            return None
        source = str(where)
    there = [each for each in load_contracts(source) if each.retired is None]
    topics = sorted({each.topic for each in there})
    if topic is None and len(topics) == 1:
        topic = topics[0]
    if topic not in topics:
        said = "several topics have contracts" if topic is None else f"no contract of topic {topic!r}"
        raise ConfigurationError(f"{said}; give --reads with one of: {', '.join(topics)}")
    return [each for each in there if each.topic == topic][-1]
