"""The command `eventbus run`: services at work, in this process or in several under a supervisor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eventbus.cli.options import BusUrl, Targets
from eventbus.cli.session import reported
from eventbus.cli.supervisor import Supervisor
from eventbus.cli.worker import Place, RunOptions, work
from eventbus.contracts.targets import configured
from eventbus.observe.hub import LIMIT
from eventbus.observe.logs import LogFormat

app = typer.Typer(add_completion=False)


@app.command()
def run(
    services: Targets = None,
    bus: BusUrl = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", "-w", min=1, envvar="EVENTBUS_WORKERS", help="Processes, under a supervisor that restarts them."
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", "-c", min=1, envvar="EVENTBUS_CONCURRENCY", help="Runs of each handler at a time."),
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", envvar="EVENTBUS_RELOAD", help="Start anew when a Python file changes.")
    ] = False,
    app_dir: Annotated[
        Path | None, typer.Option("--app-dir", envvar="EVENTBUS_APP_DIR", help="Folder to import from, and to watch.")
    ] = None,
    factory: Annotated[
        bool, typer.Option("--factory", envvar="EVENTBUS_FACTORY", help="The attribute is a function that returns services.")
    ] = False,
    burst: Annotated[bool, typer.Option("--burst", envvar="EVENTBUS_BURST", help="Handle what is there, then end.")] = False,
    max_messages: Annotated[
        int | None,
        typer.Option(
            "--max-messages", min=1, envvar="EVENTBUS_MAX_MESSAGES", help="End after so many deliveries, in each process."
        ),
    ] = None,
    health_port: Annotated[
        int | None,
        typer.Option(
            "--health-port",
            min=0,
            max=65535,
            envvar="EVENTBUS_HEALTH_PORT",
            help="Serve /healthz, /readyz and /metrics here.",
        ),
    ] = None,
    health_host: Annotated[
        str, typer.Option("--health-host", envvar="EVENTBUS_HEALTH_HOST", help="Address to serve them on.")
    ] = "127.0.0.1",
    grace: Annotated[
        float | None,
        typer.Option("--grace", min=0.0, envvar="EVENTBUS_GRACE", help="Seconds that running handlers get at a stop."),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(
            "--wait", min=0.0, envvar="EVENTBUS_WAIT", help="Seconds to wait for broker and databases at the start."
        ),
    ] = 10.0,
    log_format: Annotated[
        LogFormat,
        typer.Option("--log-format", envvar="EVENTBUS_LOG_FORMAT", help="console, json, or auto: as the output is."),
    ] = "auto",
    log_level: Annotated[
        str, typer.Option("--log-level", envvar="EVENTBUS_LOG_LEVEL", help="debug, info, warning or error.")
    ] = "info",
    blocking_limit: Annotated[
        float,
        typer.Option(
            "--blocking-limit",
            min=0.05,
            envvar="EVENTBUS_BLOCKING_LIMIT",
            help="Seconds of a blocked hub that are reported.",
        ),
    ] = LIMIT,
) -> None:
    """Start services and handle their events until SIGTERM or Ctrl-C, then drain; a second one ends at once.

    The standard library is patched by gevent before anything is imported. Each option can also be given by the variable
    that stands beside it.

    Example: eventbus run services.fulfillment:service --workers 2 --health-port 8080
    """
    with reported("run"):
        options = RunOptions(
            services=tuple(configured(services, "services")),
            bus=bus,
            concurrency=concurrency,
            app_dir=app_dir,
            factory=factory,
            burst=burst,
            max_messages=max_messages,
            health=None if health_port is None else f"{health_host}:{health_port}",
            grace=grace,
            wait=wait,
            log_format=log_format,
            log_level=log_level,
            blocking_limit=blocking_limit,
        )
        place = Place.from_environment()
        if place is None and (workers is not None or reload):
            raise typer.Exit(Supervisor(options, workers or 1, reload=reload).run())
        raise typer.Exit(work(options, place))
