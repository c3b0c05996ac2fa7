"""The commands `eventbus contracts can-i-deploy` and `eventbus contracts record`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from eventbus.cli.contract_options import FOLDER, AsJson, Folder, Services, fail, say
from eventbus.cli.session import INCOMPATIBLE
from eventbus.contracts.contract import Contract, contract_of
from eventbus.contracts.deploying import Answer, can_deploy
from eventbus.contracts.environment import FOLDER as ENVIRONMENTS
from eventbus.contracts.environment import load_environment, record, releases_of
from eventbus.contracts.release import Release
from eventbus.contracts.sources import load_contracts
from eventbus.contracts.targets import configured, owned_events, services_of
from eventbus.errors import ConfigurationError

Owners = Annotated[
    list[str] | None,
    typer.Option(
        "--owner",
        help="Modules with the events that the services send, or module=service; those of \\[tool.eventbus] unless given.",
    ),
]
SendsNothing = Annotated[bool, typer.Option("--sends-nothing", help="The services send no events; no owner is asked for.")]
Name = Annotated[
    str | None,
    typer.Option(
        "--release", envvar="EVENTBUS_RELEASE", help="Name of the release, as 1.4.0; made of its contracts unless given."
    ),
]
Environments = Annotated[
    str,
    typer.Option(
        envvar="EVENTBUS_ENVIRONMENTS_FROM", help="Where the records are: a folder, a wheel or an http(s) address."
    ),
]


def can_i_deploy_command(
    to: Annotated[str, typer.Option(help="The environment, as production.")],
    services: Services = None,
    owner: Owners = None,
    sends_nothing: SendsNothing = False,
    release: Name = None,
    environments: Environments = ENVIRONMENTS,
    from_: Annotated[
        str | None, typer.Option("--from", help="Another environment, as staging: its releases could go first.")
    ] = None,
    contracts: Folder = FOLDER,
    as_json: AsJson = False,
) -> None:
    """Say whether services may go out to an environment, and what must go first. Exit code 4 when they may not.

    Asked are all that run there, in both directions, and what may still lie in queues, outboxes and dead letters.

    Example: eventbus contracts can-i-deploy services.orders:service --to production
    """
    try:
        there = load_environment(environments, to)
        others = [] if from_ is None else load_environment(environments, from_).releases
        folder = _contracts(contracts)
        mine = _releases(services, owner, sends_nothing, release, [*folder, *there.contracts()])
        retired = [each for each in folder if each.retired is not None]
        answer = can_deploy(mine, there.without(retired), others)
    except ConfigurationError as error:
        raise fail(error) from None
    if as_json:
        typer.echo(json.dumps(_tree(answer)))
    else:
        say([_about(each) for each in mine], bad=False)
        say(answer.lines(), bad=not answer.is_yes)
    if not answer.is_yes:
        raise typer.Exit(INCOMPATIBLE)


def record_command(
    env: Annotated[str, typer.Option(help="The environment, as production.")],
    services: Services = None,
    owner: Owners = None,
    sends_nothing: SendsNothing = False,
    release: Name = None,
    environments: Annotated[Path, typer.Option(help="Folder of the records.")] = Path(ENVIRONMENTS),
    drained: Annotated[
        list[str] | None,
        typer.Option(help="topic/Type.v1 of which nothing lies anywhere any more; no service is recorded then."),
    ] = None,
    gone: Annotated[
        list[str] | None, typer.Option(help="Name of a service that runs there no more; no other is recorded then.")
    ] = None,
    contracts: Folder = FOLDER,
) -> None:
    """Record which releases run in an environment: the last step of a deploy.

    Example: eventbus contracts record services.orders:service --env production --release 1.4.0
    """
    try:
        folder = _contracts(contracts)
        is_about_past = bool(drained or gone) and not services
        there = load_environment(environments, env).contracts() if (environments / env).is_dir() else []
        mine = [] if is_about_past else _releases(services, owner, sends_nothing, release, [*folder, *there])
        retired = [each for each in folder if each.retired is not None]
        paths = record(environments, env, mine, retired=retired, drained=drained or [], gone=gone or [])
    except ConfigurationError as error:
        raise fail(error) from None
    say([_about(each) for each in mine], bad=False)
    say([f"{'wrote' if each.exists() else 'removed'} {each}" for each in paths], bad=False)


def _releases(
    services: list[str] | None, owners: list[str] | None, sends_nothing: bool, name: str | None, known: list[Contract]
) -> list[Release]:
    modules = [] if sends_nothing and not owners else configured(owners, "owners")
    sent = [contract_of(event_type, owner) for event_type, owner in owned_events(modules)]
    found = releases_of(services_of(configured(services, "services")), sent, name=name, known=known)
    names = {each.service for each in found}
    for contract in sent if owners else ():
        if contract.owner not in names:
            raise ConfigurationError(
                f"--owner: events of {contract.owner} belong to none of {', '.join(sorted(names))}; write module=service"
            )
    return found


def _contracts(source: str) -> list[Contract]:
    """Return the contracts, for what is retired; of a folder that a repository of subscribers alone need not have."""
    return [] if source == FOLDER and not Path(source).is_dir() else load_contracts(source)


def _about(release: Release) -> str:
    sends = ", ".join(each.name for each in release.publishes) or "nothing"
    reads = ", ".join(dict.fromkeys(each.type for each in release.reads)) or "nothing"
    return f"{release} sends {sends}; reads {reads}"


def _tree(answer: Answer) -> dict[str, object]:
    return {
        "may": answer.is_yes,
        "environment": answer.environment,
        "order": [{"service": each.service, "release": each.name} for each in answer.order],
        "obstacles": [
            {
                "service": release.service,
                "release": release.name,
                "reason": each.reason,
                "first": each.first,
                "first_service": each.service,
                "counterexample": each.counterexample,
            }
            for release, obstacles in answer.obstacles
            for each in obstacles
        ],
        "help": [{"service": each.service, "release": each.name} for each in answer.help],
        "notes": list(answer.notes),
    }
