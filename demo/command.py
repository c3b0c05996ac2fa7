"""The command `eventbus demo`."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from demo.orders_file import CATALOGUE, BadLine, make_orders, read_orders
from demo.scenario import Scenario
from demo.screen import Screen, ledger_table
from eventbus import EventBusError
from eventbus.settings import BusSettings

_GENEROUS = 1_000_000_000
_SCARCE = "SKU-13"


def demo(
    orders: Annotated[int, typer.Option(min=0, help="How many orders to place.")] = 2000,
    seed: Annotated[int, typer.Option(help="The same seed places the same orders.")] = 1,
    from_file: Annotated[
        Path | None,
        typer.Option("--from", exists=True, dir_okay=False, readable=True, help="Place the orders of a JSON-lines file."),
    ] = None,
    fail_rate: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of handler runs that fail at random.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the screen.")] = False,
    bus: Annotated[str | None, typer.Option(help="Bus URL; EVENTBUS_URL or memory:// unless given.")] = None,
) -> None:
    """Run the order scenario in one process and print its ledger; exit code 1 when that does not balance.

    Example: eventbus demo --orders 20000 --fail-rate 0.2
    """
    logging.getLogger("eventbus").setLevel(logging.CRITICAL if fail_rate or as_json else logging.WARNING)
    out, complaints = Console(), Console(stderr=True)
    # one article is short, so that some orders are rejected
    stock = dict.fromkeys(CATALOGUE, _GENEROUS) | {_SCARCE: orders // 20}
    source = read_orders(from_file) if from_file else make_orders(orders, seed)
    total = None if from_file else orders
    try:
        scenario = Scenario(bus or BusSettings.from_environment().url, stock=stock, fail_rate=fail_rate, seed=seed)
        scenario.start()
    except EventBusError as error:
        complaints.print(f"eventbus demo: {error}", style="red", highlight=False, markup=False)
        raise typer.Exit(2) from None
    bad = 0
    try:
        quiet = Console(quiet=True)
        with Screen(quiet if as_json else out, scenario.flow, total) as screen:
            placed = 0
            for order in source:
                if isinstance(order, BadLine):
                    bad += 1
                    complaints.print(f"line {order.number}: {order.reason}", style="yellow", highlight=False, markup=False)
                    continue
                scenario.place(order)
                placed += 1
                if placed % 100 == 0:
                    screen.placed(placed)
                if placed % 2000 == 0:  # counting goes through all orders
                    screen.processed(scenario.done())
            screen.placed(placed)
            ledger = scenario.finish(screen.processed)
    except EventBusError as error:
        complaints.print(f"eventbus demo: {error}", style="red", highlight=False, markup=False)
        raise typer.Exit(1) from None
    finally:
        scenario.stop()
    if as_json:
        typer.echo(json.dumps({**ledger.as_json(), "bad_lines": bad}))
    else:
        out.print(ledger_table(ledger))
    if not ledger.is_balanced:
        raise typer.Exit(1)
