"""The order scenario as a command: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    orders: Annotated[int, typer.Option(min=0, help="How many orders to place.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed places the same orders.")] = 1,
    from_file: Annotated[
        Path | None,
        typer.Option("--from", exists=True, dir_okay=False, readable=True, help="Place the orders of a JSON-lines file."),
    ] = None,
    fail_rate: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of handler runs that fail at random.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the screen.")] = False,
    bus: Annotated[str | None, typer.Option(help="Bus URL; EVENTBUS_URL or memory:// unless given.")] = None,
    kill: Annotated[
        bool, typer.Option("--kill", help="Kill a worker, a process of its own, with SIGKILL half-way; not on memory://.")
    ] = False,
    stay: Annotated[bool, typer.Option("--stay", help="Keep services and page up after the ledger, until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port of the page; a free one where it is taken.")] = 8900,
) -> None:
    """Run the three services in one process, place orders through their API and print the ledger; exit code 1 when it does
    not balance.

    Example: python -m demo --orders 2000 --fail-rate 0.2
    """
    # here: wrong options are told, and the help is shown, without three services loaded
    from demo.run import run

    run(
        orders,
        seed=seed,
        from_file=from_file,
        fail_rate=fail_rate,
        as_json=as_json,
        bus=bus,
        kill=kill,
        stay=stay,
        port=port,
    )
