"""The commands and where each is found: a module for each, imported when it is asked for."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup
from typer.main import get_command

from eventbus.version import __version__


@dataclass(frozen=True)
class Entry:
    """Where a command is found, and what the help of all commands says of it.

    Attributes:
        place: module of this package and the attribute that is its Typer application.
        summary: the first lines of its own help, given here so that the help of all imports none; a test compares them.
        needs: modules that it cannot do without, and that another extra than `cli` brings.
    """

    place: str
    summary: str
    needs: tuple[str, ...] = ()


COMMANDS = {
    "run": Entry(
        "run:app", "Start services and handle their events until SIGTERM or Ctrl-C, then drain; a second one ends at once."
    ),
    "relay": Entry(
        "relay:app",
        "Publish what any program added to the outboxes of databases, until SIGTERM or Ctrl-C; then drain.",
        needs=("sqlalchemy",),
    ),
    "publish": Entry(
        "publish:app",
        "Publish an event, or one for each line of standard input, by its published contract or its class.",
    ),
    "tail": Entry("tail:app", "Show events as they are published, decoded where that is possible and as hex where not."),
    "topics": Entry(
        "topics:app", "List topics and channels: what waits, what is being handled, what was given back, who listens."
    ),
    "top": Entry(
        "top:app",
        "Show depth, in flight, deferred, requeued, rates and consumers of each channel, live; dead letters in red.",
    ),
    "page": Entry(
        "page:app",
        "Serve the page: live flow, journeys, dead letters by cause, contracts and health, in a browser.",
        needs=("flask",),
    ),
    "declare": Entry(
        "declare:app",
        "Make the topics and channels of services, so that they miss nothing that is published before they run.",
    ),
    "pause": Entry(
        "flow:pause_app",
        "Stop deliveries of a channel, or the copying from a topic to its channels. Nothing is lost; it waits.",
    ),
    "resume": Entry("flow:resume_app", "Undo `pause`."),
    "empty": Entry(
        "flow:empty_app",
        "Throw away for good what waits in a channel, or in a topic that has no channel yet. Asks first.",
    ),
    "replay": Entry(
        "replay:app",
        "Let a channel have past events again, beside what is new. The bus must keep them: sqlite:// or postgresql://.",
    ),
    "journal": Entry(
        "journal:app",
        "Keep what is published and what became of it in a database; find, show and replay it.",
        needs=("sqlalchemy",),
    ),
    "dead": Entry("dead:app", "Look at dead letters, send them again, or throw them away."),
    "outbox": Entry(
        "outbox:app",
        "Look at what waits in an outbox and at whom it waits for; drop rows, forget subscribers, make the tables.",
        needs=("sqlalchemy",),
    ),
    "describe": Entry(
        "describe:app",
        "Show what services bind: topic, channel, event, handler, retries, limits, inbox, dead letters. Needs no broker.",
    ),
    "doctor": Entry(
        "doctor:app",
        "Check versions, limits, brokers, channels, contracts and databases; say what is wrong and how to mend it.",
    ),
    "contracts": Entry("contracts:app", "What producers promise and consumers need, decided before anything ships."),
    "new": Entry("new:app", "Write the beginnings of a service, tests included."),
    "keys": Entry("keys:app", "Make and look at the keys that sign events."),
    "version": Entry("version:app", "Print the version, and those of what it stands on."),
}
"""The commands by name, in the order of the help."""

_EXTRAS = {"jinja2": "contracts", "rstr": "contracts", "jsonschema": "contracts", "sqlalchemy": "sql", "flask": "page"}
"""Modules that a command may miss, and the extra that brings each."""


class Commands(TyperGroup):
    """Finds a command when its name is used; its help and its completion import none."""

    _outlined = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Return all names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command, or outline it while all are listed; None where there is none of that name."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = get_command(_outline(cmd_name, entry) if self._outlined else _load(cmd_name, entry))
        command.name = cmd_name
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with outlines of the commands."""
        with self._outlines():
            super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Return the names that begin so, with outlines of the commands."""
        with self._outlines():
            return super().shell_complete(ctx, incomplete)

    @contextmanager
    def _outlines(self) -> Iterator[None]:
        self._outlined = True
        try:
            yield
        finally:
            self._outlined = False


def _outline(name: str, entry: Entry) -> typer.Typer:
    """Return a command of a summary alone, or one that says what to install."""
    for module in entry.needs:
        if find_spec(module) is None:
            return _missing(name, _reason(module, ""))
    outline = typer.Typer(add_completion=False)
    outline.command(help=entry.summary)(lambda: None)
    return outline


def _load(name: str, entry: Entry) -> typer.Typer:
    """Import a command; one that cannot be had says what to install."""
    module, _, attribute = entry.place.partition(":")
    try:
        found: typer.Typer = getattr(import_module(f"eventbus.cli.{module}"), attribute)
    except ModuleNotFoundError as error:
        return _missing(name, _reason((error.name or "").split(".")[0], str(error)))
    return found


def _reason(module: str, error: str) -> str:
    """Return what to install for a module that is not here."""
    extra = _EXTRAS.get(module)
    return f"needs its extra: pip install 'eventbus[{extra}]'" if extra else f"cannot be had: {error}"


def _missing(name: str, reason: str) -> typer.Typer:
    """Return a command that says what to install: the help must not fail because one command cannot be had."""
    stub = typer.Typer(add_completion=False)

    @stub.command(help=f"({escape(reason)})", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
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
