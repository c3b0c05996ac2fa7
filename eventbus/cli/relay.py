"""The command `eventbus relay`: publishes what any program added to the outboxes of databases."""

from __future__ import annotations

import re
from typing import Annotated

import sqlalchemy as sa
import typer

from eventbus.cli.options import BusUrl
from eventbus.cli.session import reported
from eventbus.cli.supervisor import Supervisor
from eventbus.cli.worker import Place, RunOptions, work
from eventbus.errors import ConfigurationError
from eventbus.names import MAX_LENGTH
from eventbus.observe.logs import LogFormat
from eventbus.service import Service
from eventbus.sql import Database, Outbox, Receipts

app = typer.Typer(add_completion=False)


@app.command()
def relay(
    databases: Annotated[
        list[str],
        typer.Option(
            "--database",
            envvar="EVENTBUS_DATABASE_URL",
            help="A database with an outbox, as postgresql://user@host/name; may be given several times.",
            metavar="URL",
        ),
    ],
    bus: BusUrl = None,
    source: Annotated[
        str | None,
        typer.Option("--source", envvar="EVENTBUS_SOURCE", help="Name of the relay; that of the database unless given."),
    ] = None,
    no_receipts: Annotated[
        bool, typer.Option("--no-receipts", help="Settle what the broker confirmed; wait for no subscriber.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", "-w", min=1, envvar="EVENTBUS_WORKERS", help="Processes, under a supervisor."),
    ] = None,
    poll: Annotated[
        float, typer.Option("--poll", min=0.01, max=60.0, help="Seconds between two looks, where no database tells.")
    ] = 1.0,
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
        typer.Option("--grace", min=0.0, envvar="EVENTBUS_GRACE", help="Seconds to publish what is committed at a stop."),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(
            "--wait", min=0.0, envvar="EVENTBUS_WAIT", help="Seconds to wait for broker, databases and their tables."
        ),
    ] = 10.0,
    log_format: Annotated[
        LogFormat,
        typer.Option("--log-format", envvar="EVENTBUS_LOG_FORMAT", help="console, json, or auto: as the output is."),
    ] = "auto",
    log_level: Annotated[
        str, typer.Option("--log-level", envvar="EVENTBUS_LOG_LEVEL", help="debug, info, warning or error.")
    ] = "info",
) -> None:
    """Publish what any program added to the outboxes of databases, until SIGTERM or Ctrl-C; then drain.

    Programs add with `Outbox(source="billing").add(connection, event)` and have no bus of their own. On PostgreSQL a relay
    hears of a commit at once, otherwise with the next poll. Several relays on a database share its rows.

    Example: eventbus relay --database postgresql://billing@localhost/billing --bus nsq://127.0.0.1:4161
    """
    with reported("relay"):
        options = RunOptions(
            services=("relay",),
            bus=bus,
            health=None if health_port is None else f"{health_host}:{health_port}",
            grace=grace,
            wait=wait,
            log_format=log_format,
            log_level=log_level,
        )
        place = Place.from_environment()
        if place is None and workers is not None:
            raise typer.Exit(Supervisor(options, workers, reload=False).run())
        receipts = None if no_receipts else Receipts()
        made = [_relay_of(url, source, receipts, poll) for url in dict.fromkeys(databases)]
        names = [each.name for each in made]
        if len(set(names)) < len(names):
            raise ConfigurationError(
                f"two databases are called {max(names, key=names.count)}; run a relay for each, with a --source of its own"
            )
        raise typer.Exit(work(options, place, lambda: made))


def _relay_of(url: str, source: str | None, receipts: Receipts | None, poll: float) -> Service:
    """Return a service that only relays the outbox of one database."""
    database = Database(url)
    name = source or _name_of(database.engine.url)
    service = Service(name)
    service.attach(_Awaited(database, source=name, receipts=receipts, poll=poll, listens=True))
    return service


class _Awaited(Outbox):
    """An outbox whose tables somebody else makes: a migration runs beside the start of its relay, as a rule."""

    def ping(self) -> None:
        """Return if the database answers and has the tables.

        Raises:
            DatabaseUnreachableError: it does not answer.
            TablesNotReadyError: its tables are missing or older.
        """
        super().ping()
        self.database.check_tables()


def _name_of(url: sa.URL) -> str:
    """Return the name of a database as one of a channel: receipts come on it, so it stays the same for ever."""
    last = (url.database or "").rstrip("/").rpartition("/")[2]
    name = re.sub(r"[^a-zA-Z0-9._-]", "_", last.removesuffix(".db"))[:MAX_LENGTH]
    if not name.strip("._-"):
        raise ConfigurationError(f"{url.render_as_string(hide_password=True)} gives no name to the relay; add --source")
    return name
