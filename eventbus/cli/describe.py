"""The command `eventbus describe`: what is bound where, with which policy."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.text import Text

from eventbus.cli.options import AppDir, AsJson, Factory, Targets
from eventbus.cli.rights import rights_of
from eventbus.cli.session import out, reported, say, say_json
from eventbus.contracts.targets import configured, import_from, services_of
from eventbus.event import event_info
from eventbus.handlers.binding import Binding
from eventbus.names import check_name, dead_letter_topic
from eventbus.service import Service
from eventbus.settings import BusSettings

app = typer.Typer(add_completion=False)


@app.command()
def describe(
    services: Targets = None,
    app_dir: AppDir = None,
    factory: Factory = False,
    as_json: AsJson = False,
    auth: Annotated[
        bool, typer.Option("--auth", help="Print the NSQ permissions that each needs, as an auth server answers them.")
    ] = False,
    publishes: Annotated[
        list[str] | None,
        typer.Option(metavar="TOPIC", help="With --auth: a topic that a service publishes to without returning events."),
    ] = None,
) -> None:
    """Show what services bind: topic, channel, event, handler, retries, limits, inbox, dead letters. Needs no broker.

    Example: eventbus describe services.fulfillment:service --json
    """
    with reported("describe"):
        import_from(app_dir)
        found = services_of(configured(services, "services"), is_factory=factory)
        if auth:
            for topic in publishes or ():
                check_name(topic, kind="topic")
            ages = BusSettings.from_environment().max_dead_age > 0
            say_json({service.name: rights_of(service, publishes or (), ages=ages) for service in found})
            return
        trees = [_tree(service) for service in found]
        if as_json:
            typer.echo(json.dumps(trees))
            return
        for tree in trees:
            _show(tree)


def _tree(service: Service) -> dict[str, Any]:
    return {
        "service": service.name,
        "channel": service.channel,
        "unhandled": service.unhandled,
        "max_in_flight": service.max_in_flight,
        "backoff": {
            "after": service.backoff.after,
            "first": service.backoff.first,
            "ceiling": service.backoff.ceiling,
        },
        "attachments": [type(each).__name__ for each in service.attachments],
        "handlers": [_handler(service, each) for each in service.bindings],
    }


def _handler(service: Service, binding: Binding) -> dict[str, Any]:
    retry = binding.retry
    return {
        "topic": binding.topic,
        "event": binding.type_name,
        "version": event_info(binding.event_type).version if event_info(binding.event_type).is_owned else None,
        "reads": sorted(binding.event_type.model_fields),
        "handler": binding.name,
        "concurrency": binding.concurrency,
        "timeout": binding.timeout,
        "attempts": retry.attempts,
        "first_delay": retry.first,
        "delay_ceiling": retry.ceiling,
        "batch": None if binding.batch is None else {"size": binding.batch.size, "wait": binding.batch.wait},
        "inbox": binding.inbox is not None,
        "dead_letters": dead_letter_topic(binding.topic, service.channel),
    }


def _show(tree: dict[str, Any]) -> None:
    title = Text(tree["service"], "bold")
    if tree["channel"] != tree["service"]:
        title.append(f" on channel {tree['channel']}", "default")
    out.print(title)
    backoff = tree["backoff"]
    pauses = f"pauses {backoff['first']:g} to {backoff['ceiling']:g} s after {backoff['after']} failures in a row"
    say(f"  {pauses if backoff['after'] else 'never pauses'}; events of unknown types: {tree['unhandled']}")
    if tree["attachments"]:
        say(f"  with it start {', '.join(tree['attachments'])}")
    for each in tree["handlers"]:
        batch = each["batch"]
        lists = f" in lists of up to {batch['size']} or {batch['wait']:g} s" if batch else ""
        out.print(Text(f"  {each['topic']}", "cyan").append(f"  {each['event']} to {each['handler']}{lists}", "default"))
        say(
            f"    {each['concurrency']} at once, each at most {each['timeout']:g} s; {each['attempts']} attempts, "
            f"{each['first_delay']:g} to {each['delay_ceiling']:g} s between{'; inbox' if each['inbox'] else ''}"
        )
        say(f"    dead letters to {each['dead_letters']}")
