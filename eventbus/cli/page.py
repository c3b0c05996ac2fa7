"""The command `eventbus page`: what flows through the bus, in a browser."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated, Any
from urllib.parse import urlsplit

import gevent
import typer

from eventbus.bus import Bus
from eventbus.cli.doctor import given_services, outbox_of
from eventbus.cli.options import AppDir, BusUrl, Contracts, Factory
from eventbus.cli.session import interruptible, quietly, reported, say
from eventbus.contracts.targets import import_from
from eventbus.errors import ConfigurationError, EventBusError
from eventbus.page.access import Access
from eventbus.page.server import PageServer
from eventbus.page.sources import Sources
from eventbus.settings import BusSettings

app = typer.Typer(add_completion=False)


@app.command()
def page(
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0 takes a free one.")] = 8900,
    host: Annotated[
        str, typer.Option(help="Address to listen on; another than this machine's own needs a token.")
    ] = "127.0.0.1",
    names: Annotated[
        list[str] | None,
        typer.Option("--name", help="Name of this machine by which browsers call it; may be given several times."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="EVENTBUS_PAGE_TOKEN", help="What one must know to enter; `new` makes one and tells it."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            envvar="EVENTBUS_PAGE_TOKEN_FILE", exists=True, dir_okay=False, help="A file with the token, as containers have."
        ),
    ] = None,
    allow: Annotated[str, typer.Option(help="What the page may change, with a token: replay,pause.", metavar="LIST")] = "",
    bodies: Annotated[bool, typer.Option("--bodies", help="Show texts of errors that may quote personal data.")] = False,
    services: Annotated[
        list[str] | None,
        typer.Option("--service", help="Service as module:attribute, whose handlers are compared with the contracts."),
    ] = None,
    app_dir: AppDir = None,
    factory: Factory = False,
    contracts: Contracts = "contracts",
    database: Annotated[
        str | None,
        typer.Option(help="The journal, for journeys older than the page; that of the bus if it is one.", metavar="URL"),
    ] = None,
    outbox: Annotated[
        list[str] | None,
        typer.Option(envvar="EVENTBUS_DATABASE_URL", help="A database with an outbox to look at.", metavar="URL"),
    ] = None,
    bus: BusUrl = None,
) -> None:
    """Serve the page: live flow, journeys, dead letters by cause, contracts and health, in a browser.

    It changes nothing unless it is allowed to, and no service needs it or knows of it.

    Example: eventbus page --bus nsq://127.0.0.1:4161
    """
    with reported("page"), ExitStack() as stack:
        quietly()
        import_from(app_dir)
        settings = BusSettings.from_environment()
        address = bus or settings.url
        if urlsplit(address).scheme == "memory":
            raise ConfigurationError(
                "memory:// lives in one process, and this one has nothing in it; give --bus sqlite:///FILE or "
                "nsq://..., or set EVENTBUS_URL"
            )
        if token == "new":
            token = token_urlsafe(24)
            say(f"token: {token}")
        if token_file is not None and token is None:
            token = token_file.read_text(encoding="utf-8", errors="replace").strip()
        access = Access(token, frozenset(filter(None, allow.replace(" ", "").split(","))), bodies)
        found = given_services(services, factory)
        outboxes = tuple(outbox_of(url, stack) for url in dict.fromkeys(outbox or ()))
        open_bus = Bus(address, source="eventbus-page", settings=settings)
        stack.callback(open_bus.stop, grace=0.0)
        server = PageServer(
            Sources(open_bus, found, contracts, outboxes, _journal(database, address, stack), shown_address(address)),
            access=access,
            host=host,
            port=port,
            names=tuple(names or ()),
        )
        with interruptible():
            open_bus.attach(server)
            say(f"the page: {server.url}  (Ctrl-C ends it)")
            while True:
                gevent.sleep(3600)


def _journal(database: str | None, bus: str, stack: ExitStack) -> Any:
    """Return what reads the journal, closed by `stack`; None where there is none and none was asked for."""
    if database is None and urlsplit(bus).scheme not in ("sqlite", "postgresql"):
        return None
    try:
        from eventbus.journal.reading import open_reading
    except ModuleNotFoundError as error:
        if database is None:
            return None
        raise ConfigurationError(f"--database needs the extra: pip install 'eventbus[sql]' ({error})") from None
    try:
        reading = open_reading(database or bus)
    except EventBusError:
        if database is None:
            return None
        raise
    stack.callback(reading.close)
    return reading


def shown_address(url: str) -> str:
    """Return a bus's address as everybody may see it: without user, password and options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
