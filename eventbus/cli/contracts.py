"""The commands `eventbus contracts ...`."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from eventbus.cli.contract_codegen import codegen_command
from eventbus.cli.contract_deploys import can_i_deploy_command, record_command
from eventbus.cli.contract_options import FOLDER, GOLDEN, AsJson, AsSarif, Folder, Golden, Services, fail, say
from eventbus.cli.contract_sunset import sunset_command
from eventbus.cli.session import INCOMPATIBLE
from eventbus.contracts.asyncapi import asyncapi
from eventbus.contracts.catalogue import write_catalogue
from eventbus.contracts.changes import changes
from eventbus.contracts.contract import Contract
from eventbus.contracts.evolution import MODES, Mode, check_evolution
from eventbus.contracts.impact import impact
from eventbus.contracts.publish import check_golden, publish, retire, unpublish
from eventbus.contracts.reading import read_contract
from eventbus.contracts.sarif import sarif
from eventbus.contracts.sources import INSECURE, load_contracts
from eventbus.contracts.targets import configured, owned_events, services_of
from eventbus.contracts.values import count_in_words, trial_count
from eventbus.contracts.views import View, check_views, trials_of, views_of
from eventbus.errors import ConfigurationError

app = typer.Typer(
    add_completion=False,
    help="What producers promise and consumers need, decided before anything ships.",
    no_args_is_help=True,
)


@app.callback()
def common(
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Take contracts over plain http from other machines too.")
    ] = False,
) -> None:
    if insecure:
        os.environ[INSECURE] = "1"


@app.command("publish")
def publish_command(
    modules: Annotated[
        list[str] | None,
        typer.Argument(help="Modules with owners' events, or module=owner; those of \\[tool.eventbus] unless given."),
    ] = None,
    contracts: Folder = FOLDER,
    golden: Golden = GOLDEN,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail where something would be written.")] = False,
) -> None:
    """Write the contracts of all events that modules own. Exit code 4 when a published version has changed.

    Example: eventbus contracts publish services.orders.events
    """
    try:
        done = publish(owned_events(configured(modules, "owners")), Path(contracts), golden=golden, is_check=check)
    except ConfigurationError as error:
        raise fail(error) from None
    say([f"{'would write' if check else 'wrote'} {path}" for path in done.written], bad=check)
    say(list(done.refused), bad=True)
    say([f"warning: {each}" for each in done.warned], bad=False)
    say([f"{len(done.kept)} contracts are as they were"], bad=False)
    if done.refused or (check and done.written):
        raise typer.Exit(INCOMPATIBLE)


@app.command("check")
def check_command(
    services: Services = None,
    contracts: Folder = FOLDER,
    owner: Annotated[list[str] | None, typer.Option(help="Modules of owners, to read the kept bytes too.")] = None,
    golden: Golden = GOLDEN,
    as_json: AsJson = False,
    as_sarif: AsSarif = False,
) -> None:
    """Check that every event that owners may send can be read by every view. Exit code 4 when one cannot.

    Example: eventbus contracts check services.orders:service services.fulfillment:service
    """
    try:
        there = load_contracts(contracts)
        views = views_of(services_of(configured(services, "services")))
        misfits = check_views(views, there)
        owners = [event_type for event_type, _ in owned_events(owner or [])]
        broken = check_golden(golden, there, owners, views) if golden.is_dir() else []
    except ConfigurationError as error:
        raise fail(error) from None
    if as_sarif:
        typer.echo(json.dumps(sarif(misfits=misfits, golden=broken), indent=2))
    elif as_json:
        found: dict[str, Any] = {
            "misfits": [
                {"view": each.view.name, "reason": each.reason, "counterexample": each.counterexample} for each in misfits
            ],
            "golden": broken,
            "views": {view.name: sorted(view.fields()) for view in views},
            "tried": {view.name: trials_of(view, there) for view in views},
        }
        typer.echo(json.dumps(found))
    else:
        say([str(each) for each in misfits] + broken, bad=True)
        say([_reads(view, there) for view in views], bad=False)
        say([f"{len(views)} views, {len(there)} contracts, {len(misfits) + len(broken)} misfits"], bad=False)
    if misfits or broken:
        raise typer.Exit(INCOMPATIBLE)


def _reads(view: View, there: list[Contract]) -> str:
    tried = [f"{count_in_words(*counts)} of {name}" for name, counts in trials_of(view, there).items()]
    fields = ", ".join(sorted(view.fields())) or "no field"
    return f"{view.name} reads {fields}" + (f"; tried with {', '.join(tried)}" if tried else "")


@app.command("evolve")
def evolve_command(
    contracts: Folder = FOLDER,
    against: Annotated[str | None, typer.Option(help="Other contracts, as of main: none may differ.")] = None,
    mode: Annotated[list[str] | None, typer.Option(help="topic=forward|backward|full|none; full for the others.")] = None,
) -> None:
    """Compare all supported versions of each event. Exit code 4 when two do not fit.

    Example: eventbus contracts evolve --against ../main/contracts --mode orders_placed=forward
    """
    try:
        modes: dict[str, Mode] = {}
        for each in mode or []:
            topic, _, name = each.partition("=")
            if name not in MODES:
                raise ConfigurationError(f"--mode {each}: write topic=forward, backward, full or none")
            modes[topic] = name
        mine = load_contracts(contracts)
        found = [str(each) for each in check_evolution(mine, modes)]
        if against is not None:
            here = {contract.path: contract for contract in mine}
            for other in load_contracts(against):
                if other.path not in here:
                    found.append(f"{other.path}: is published and gone; retire it instead of removing it")
                elif here[other.path].shape() != other.shape():
                    found.append(f"{other.path}: is published and has changed; make a new version")
    except ConfigurationError as error:
        raise fail(error) from None
    say(found, bad=True)
    say([f"{len(mine)} contracts, {len(found)} breaks{_tried(mine)}"], bad=False)
    if found:
        raise typer.Exit(INCOMPATIBLE)


def _tried(contracts: list[Contract]) -> str:
    """Return, in words, with how many values versions were compared; nothing where no event has two."""
    supported = [each for each in contracts if each.retired is None]
    events = Counter((each.topic, each.type) for each in supported)
    counts = [trial_count(each, 200) for each in supported if events[each.topic, each.type] > 1]
    return f"; {count_in_words(sum(one for one, _ in counts), sum(of for _, of in counts))} tried" if counts else ""


@app.command("impact")
def impact_command(
    field: Annotated[str, typer.Argument(help="topic.field, as orders_placed.total or orders_placed.lines.sku.")],
    services: Services = None,
    contracts: Folder = FOLDER,
    as_json: AsJson = False,
) -> None:
    """Say who reads a field, and which fields of its topic nobody reads.

    Example: eventbus contracts impact orders_placed.total
    """
    try:
        readers, unread = impact(field, views_of(services_of(configured(services, "services"))), load_contracts(contracts))
    except ConfigurationError as error:
        raise fail(error) from None
    if as_json:
        typer.echo(json.dumps({"readers": readers, "unread": unread}))
        return
    verb = "read" if len(readers) > 1 else "reads"
    say([f"{', '.join(readers)} {verb} {field}" if readers else f"nobody reads {field}"], bad=False)
    if unread:
        say([f"fields of the topic that nobody reads: {', '.join(unread)}"], bad=False)


@app.command("docs")
def docs_command(
    services: Services = None,
    contracts: Folder = FOLDER,
    to: Annotated[Path, typer.Option(help="Folder for the pages and asyncapi.json.")] = Path("build/contracts"),
    title: Annotated[str, typer.Option(help="Name of the system.")] = "Events",
    version: Annotated[str, typer.Option(help="Version of the system.")] = "1.0.0",
) -> None:
    """Write an AsyncAPI 3.0 document of the whole system, and a catalogue of pages that need no network.

    Example: eventbus contracts docs services.orders:service services.fulfillment:service --to build/contracts
    """
    try:
        there, views = load_contracts(contracts), views_of(services_of(configured(services, "services")))
        pages = write_catalogue(to, there, views, title=title)
    except ConfigurationError as error:
        raise fail(error) from None
    document = asyncapi(there, views, title=title, version=version)
    (to / "asyncapi.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    say([f"wrote {pages[0]}, {len(pages) - 1} events, and {to / 'asyncapi.json'}"], bad=False)


@app.command("diff")
def diff_command(
    older: Annotated[str, typer.Argument(help="One version: topic/Type.v1.json in the contracts, or a path to its file.")],
    newer: Annotated[str, typer.Argument(help="The other: topic/Type.v2.json, or a path.")],
    services: Annotated[
        list[str] | None, typer.Option("--service", help="Services that read it, as module:attribute.")
    ] = None,
    contracts: Folder = FOLDER,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a pull request.")] = False,
    as_sarif: AsSarif = False,
) -> None:
    """Say what changed between two versions, and who must do something. Exit code 4 when somebody must.

    Example: eventbus contracts diff orders_placed/OrderPlaced.v1.json orders_placed/OrderPlaced.v2.json --markdown
    """
    try:
        there = load_contracts(contracts)
        found = changes(_one(older, there), _one(newer, there), views_of(services_of(services or [])))
    except ConfigurationError as error:
        raise fail(error) from None
    if as_sarif:
        typer.echo(json.dumps(sarif(misfits=found.misfits, breaks=found.breaks), indent=2))
    elif markdown:
        typer.echo(found.to_markdown())
    else:
        say(found.lines(), bad=False)
    if found.breaks or found.misfits:
        raise typer.Exit(INCOMPATIBLE)


def _one(name: str, there: list[Contract]) -> Contract:
    for each in there:
        if each.path == name or each.path.removesuffix(".json") == name:
            return each
    path = Path(name)
    if not path.is_file():
        raise ConfigurationError(f"{name}: no such contract; write it as topic/Type.v1.json, or a path to a file")
    return read_contract(path.read_text(encoding="utf-8"), name)


@app.command("unpublish")
def unpublish_command(
    topic: str,
    type_name: Annotated[str, typer.Argument(metavar="TYPE")],
    version: int,
    against: Annotated[str, typer.Option(help="The contracts of main: what is there stays.")],
    contracts: Folder = FOLDER,
    golden: Golden = GOLDEN,
) -> None:
    """Take back a version that main does not have: it was published in this branch alone.

    Example: eventbus contracts unpublish orders_placed OrderPlaced 2 --against ../main/contracts
    """
    try:
        gone = unpublish(Path(contracts), topic, type_name, version, load_contracts(against), golden=golden)
    except ConfigurationError as error:
        raise fail(error) from None
    say([f"removed {each}" for each in gone], bad=False)


@app.command("retire")
def retire_command(
    topic: str,
    type_name: Annotated[str, typer.Argument(metavar="TYPE")],
    version: int,
    reason: Annotated[str, typer.Option(help="Why nothing of it is sent or waits any more.")],
    contracts: Folder = FOLDER,
) -> None:
    """Record in the contract that a version is retired, so that a breaking change may follow.

    Example: eventbus contracts retire orders_placed OrderPlaced 1 --reason "no v1 in any queue since June"
    """
    try:
        done = retire(Path(contracts), topic, type_name, version, reason)
    except ConfigurationError as error:
        raise fail(error) from None
    say([f"{done.path} is retired"], bad=False)


app.command("can-i-deploy")(can_i_deploy_command)
app.command("record")(record_command)
app.command("codegen")(codegen_command)
app.command("sunset")(sunset_command)
