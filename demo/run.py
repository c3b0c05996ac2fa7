"""One run of the scenario: places orders, shows who handles what, prints the ledger."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import gevent
import typer
from gevent.pool import Pool
from rich.console import Console

from demo.killed import KilledWorker
from demo.ledger import Ledger
from demo.orders_file import CATALOGUE, BadLine, Request, make_orders, read_orders
from demo.page import page_of, wait_for_the_end
from demo.scenario import RefusedError, Scenario
from demo.screen import Screen, ledger_table
from eventbus import ConfigurationError, EventBusError
from eventbus.settings import BusSettings

_GENEROUS = 1_000_000_000
_SCARCE = "SKU-13"
_CLIENTS = 8


def run(
    orders: int,
    *,
    seed: int,
    from_file: Path | None,
    fail_rate: float,
    as_json: bool,
    bus: str | None,
    kill: bool = False,
    stay: bool = False,
    port: int = 8900,
) -> None:
    """Run the services, place orders through their API and print the ledger.

    Raises:
        typer.Exit: with 1 where the ledger does not balance, and 2 where the bus cannot be had.
    """
    for name in ("eventbus", "services"):
        logging.getLogger(name).setLevel(logging.CRITICAL if fail_rate or as_json else logging.WARNING)
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # aiosmtpd's; the ledger counts the mails
    out, complaints = Console(), Console(stderr=True)
    # one article is short, so that some orders are rejected
    stock = dict.fromkeys(CATALOGUE, _GENEROUS) | {_SCARCE: orders // 20}
    source = read_orders(from_file) if from_file else make_orders(orders, seed)
    total = None if from_file else orders
    with TemporaryDirectory(prefix="eventbus-demo-") as folder:
        worker = None
        try:
            url = bus or BusSettings.from_environment().url
            if kill and url.startswith("memory:"):
                raise ConfigurationError("--kill needs a bus that processes share: --bus sqlite:///bus.db")
            scenario = Scenario(url, Path(folder), stock=stock, fail_rate=fail_rate, seed=seed)
        except EventBusError as error:
            _complain(complaints, error)
            raise typer.Exit(2) from None
        try:
            scenario.start()
            worker = KilledWorker(scenario, url, Path(folder), after=orders // 2) if kill else None
            address = page_of(scenario, url, port)
            if not as_json:
                out.print(f"in a browser: {address}", style="bold", highlight=False)
            with Screen(Console(quiet=True) if as_json else out, scenario.flow, total) as screen:
                placed, bad = _place(scenario, source, screen, complaints, worker)
                ledger = scenario.finish(placed, screen.processed)
            killed = worker is not None and worker.was_killed
            _tell(ledger, bad, out, as_json=as_json, killed=killed)
            if stay:
                wait_for_the_end(address, complaints)
        except EventBusError as error:
            _complain(complaints, error)
            raise typer.Exit(1) from None
        finally:
            if worker is not None:
                worker.kill()
            scenario.stop()
    if not ledger.is_balanced:
        raise typer.Exit(1)


def _place(
    scenario: Scenario,
    source: Iterable[Request | BadLine],
    screen: Screen,
    complaints: Console,
    worker: KilledWorker | None,
) -> tuple[int, int]:
    """Place all orders through the API, a few at a time; return how many were accepted, and how many lines were not."""
    placed = bad = 0

    def place(order: Request | BadLine) -> None:
        nonlocal placed, bad
        try:
            if isinstance(order, BadLine):
                raise RefusedError(order.reason)
            scenario.place(order)
        except RefusedError as error:
            bad += 1
            complaints.print(f"line {order.number}: {error}", style="yellow", highlight=False, markup=False)
            return
        placed += 1
        if worker is not None:
            worker.placed(placed)
        if placed % 20 == 0:
            screen.placed(placed)
        if placed % 100 == 0:
            screen.processed(scenario.done())

    clients = Pool(_CLIENTS)
    requests = [clients.spawn(place, order) for order in source]
    gevent.joinall(requests, raise_error=True)
    screen.placed(placed)
    if worker is not None:
        worker.end()
    return placed, bad


def _tell(ledger: Ledger, bad: int, out: Console, *, as_json: bool, killed: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**ledger.as_json(), "bad_lines": bad, "killed": killed}))
    else:
        out.print(ledger_table(ledger))
        if killed:
            out.print("a third worker of fulfillment was killed with SIGKILL half-way", style="yellow")


def _complain(complaints: Console, error: EventBusError) -> None:
    complaints.print(f"demo: {error}", style="red", highlight=False, markup=False)
