"""The commands and where each is found: a module for each, imported when it is asked for."""

from __future__ import annotations

import gc
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from eventbus.version import __version__

COMMANDS = {
    "run": "run:app",
    "publish": "publish:app",
    "tail": "tail:app",
    "topics": "topics:app",
    "top": "top:app",
    "declare": "declare:app",
    "pause": "flow:pause_app",
    "resume": "flow:resume_app",
    "empty": "flow:empty_app",
    "dead": "dead:app",
    "outbox": "outbox:app",
    "describe": "describe:app",
    "doctor": "doctor:app",
    "contracts": "contracts:app",
    "version": "version:app",
}
"""Name to module of this package and its Typer application, in the order of the help."""

_NEEDS = {"jinja2": "contracts", "rstr": "contracts", "jsonschema": "contracts", "sqlalchemy": "sql"}
"""Modules that a command may miss, and the extra that brings each."""


class Commands(TyperGroup):
    """Finds a command when its name is used."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return all names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command; None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        try:
            found: typer.Typer = getattr(import_module(f"eventbus.cli.{module}"), attribute)
        except ModuleNotFoundError as error:
            found = _missing(cmd_name, error)
        command = get_command(found)
        command.name = cmd_name
        return command


def _missing(name: str, error: ModuleNotFoundError) -> typer.Typer:
    """Return a command that says what to install: the help must not fail because one command cannot be had."""
    extra = _NEEDS.get((error.name or "").split(".")[0])
    reason = f"needs its extra: pip install 'eventbus[{extra}]'" if extra else f"cannot be had: {error}"
    stub = typer.Typer(add_completion=False)

    @stub.command(help=f"({reason})", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
    def refuse() -> None:
        typer.echo(f"eventbus {name} {reason}", err=True)
        raise typer.Exit(2)

    return stub


app = typer.Typer(name="eventbus", cls=Commands, no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"eventbus {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Domain events for Python services, on gevent and NSQ.

    Exit codes: 0 well, 1 failed, 2 wrong use or settings, 3 no broker, 4 something does not fit its contract.
    """
    gc.freeze()  # the command is loaded by now
    gc.enable()
