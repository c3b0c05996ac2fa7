"""The command `eventbus declare`: topics and channels made before the first publish."""

from __future__ import annotations

import json

import typer

from eventbus.cli.options import AppDir, AsJson, BusUrl, Factory, Targets
from eventbus.cli.session import connected, reported, say
from eventbus.contracts.targets import configured, import_from, services_of

app = typer.Typer(add_completion=False)


@app.command()
def declare(
    services: Targets = None,
    app_dir: AppDir = None,
    factory: Factory = False,
    as_json: AsJson = False,
    bus: BusUrl = None,
) -> None:
    """Make the topics and channels of services, so that they miss nothing that is published before they run.

    Run it when you deploy, before anything publishes. What exists stays as it is.

    Example: eventbus declare services.orders:service services.fulfillment:service
    """
    with reported("declare"):
        import_from(app_dir)
        found = services_of(configured(services, "services"), is_factory=factory)
        with connected(bus, may_be_private=True) as open_bus:
            open_bus.declare(*found)
            made = sorted({(topic, service.channel) for service in found for topic in service.topics})
        if as_json:
            typer.echo(json.dumps([{"topic": topic, "channel": channel} for topic, channel in made]))
            return
        for topic, channel in made:
            say(f"{topic} / {channel}")
