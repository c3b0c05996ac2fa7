"""The command `eventbus doctor`: what is wrong with this set-up, and how to mend it."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from typing import Annotated, Any

import typer
from rich.text import Text

from eventbus.bus import Bus
from eventbus.cli.options import AppDir, BusUrl, Contracts, Factory, Targets
from eventbus.cli.session import FAILED, INCOMPATIBLE, NO_BROKER, interruptible, out, quietly, reported, say
from eventbus.contracts.targets import configured, import_from, services_of
from eventbus.doctor.findings import Finding, Level
from eventbus.doctor.visit import MISFIT, UNREACHABLE, examine
from eventbus.errors import ConfigurationError
from eventbus.service import Service
from eventbus.settings import BusSettings

app = typer.Typer(add_completion=False)

_STYLES = {Level.OK: "green", Level.NOTE: "cyan", Level.WARNING: "yellow", Level.FAULT: "bold red"}


@app.command()
def doctor(
    services: Targets = None,
    app_dir: AppDir = None,
    factory: Factory = False,
    contracts: Contracts = "contracts",
    watch: Annotated[
        float, typer.Option(min=0.1, help="Seconds between two looks at the channels, to see what grows.")
    ] = 2.0,
    databases: Annotated[
        list[str] | None,
        typer.Option(
            "--database",
            envvar="EVENTBUS_DATABASE_URL",
            help="A database with an outbox that programs without a bus add to; may be given several times.",
            metavar="URL",
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 for warnings too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    bus: BusUrl = None,
) -> None:
    """Check versions, limits, brokers, channels, contracts and databases; say what is wrong and how to mend it.

    Changes nothing.

    Exit code 3 when no broker answers, 4 when a contract does not fit, 1 for other faults.

    Example: eventbus doctor services.fulfillment:service --bus nsq://127.0.0.1:4161 --strict
    """
    with reported("doctor"):
        quietly()
        import_from(app_dir)
        found = given_services(services, factory)
        settings = BusSettings.from_environment()
        findings: list[Finding] = []
        with ExitStack() as stack:
            outboxes = [outbox_of(url, stack) for url in dict.fromkeys(databases or ())]
            open_bus = stack.enter_context(Bus(bus, source="eventbus-cli", settings=settings))
            stack.enter_context(interruptible())
            for each in examine(open_bus, found, contracts=contracts, watch=watch, outboxes=outboxes):
                findings.append(each)
                if not as_json:
                    _show(each)
        if as_json:
            typer.echo(
                json.dumps(
                    [
                        {"level": each.level.value, "check": each.check, "text": each.text, "mend": each.mend}
                        for each in findings
                    ]
                )
            )
        else:
            counts = {level: sum(each.level is level for each in findings) for level in Level}
            say(f"{counts[Level.FAULT]} faults, {counts[Level.WARNING]} warnings, {counts[Level.NOTE]} notes")
        raise typer.Exit(_code(findings, strict=strict))


def outbox_of(url: str, stack: ExitStack) -> Any:
    """Return the outbox of a database, which `stack` closes."""
    try:
        from eventbus.sql import Database, Outbox
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"--database needs the extra: pip install 'eventbus[sql]' ({error})") from None
    return Outbox(stack.enter_context(Database(url)))


def given_services(given: list[str] | None, factory: bool) -> list[Service]:
    try:
        targets = configured(given, "services")
    except ConfigurationError:
        return []  # none are given and none are configured: the rest can be looked at all the same
    return services_of(targets, is_factory=factory)


def _code(findings: list[Finding], *, strict: bool) -> int:
    faults = {each.check for each in findings if each.level is Level.FAULT}
    if UNREACHABLE in faults:
        return NO_BROKER
    if MISFIT in faults:
        return INCOMPATIBLE
    return FAILED if faults or (strict and any(each.level is Level.WARNING for each in findings)) else 0


def _show(finding: Finding) -> None:
    line = Text(f"{finding.level.value:<8}", _STYLES[finding.level]).append(f"{finding.check}: ", "bold")
    out.print(line.append(finding.text, "default"))
    if finding.mend:
        out.print(Text(f"        {finding.mend}", "dim"))
    sys.stdout.flush()
