"""The scenario in containers: bring all up, place orders through the API, wait, print the ledger, take all down.

    python -m demo.containers [--orders N] [--keep]

Exit code 1 when the ledger does not balance, 2 when containers cannot be run.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from demo.orders_file import make_orders
from demo.stack import Stack, StackError, why_not


def main(
    orders: Annotated[int, typer.Option(min=1, help="How many orders to place.")] = 100,
    keep: Annotated[bool, typer.Option(help="Leave everything up, to look at it.")] = False,
) -> None:
    """Run the order scenario in containers and print its ledger."""
    out = Console()
    if reason := why_not():
        out.print(f"demo-containers: {reason}", style="red", markup=False)
        raise typer.Exit(2)
    stack = Stack()
    try:
        out.print("building the images and starting 13 containers ...")
        stack.up()
        out.print(f"all are healthy; placing {orders} orders at {stack.api}/orders")
        stack.place_all(request.body for request in make_orders(orders, seed=1))
        ledger = stack.settle(orders)
        table = Table("ledger", "", title_justify="left")
        table.columns[1].justify = "right"
        for name, value in asdict(ledger).items():
            table.add_row(name.replace("_", " "), f"{value:,}")
        table.add_row("balanced", "yes" if ledger.is_balanced else "NO")
        out.print(table)
    except StackError as error:
        out.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from None
    finally:
        if keep:
            out.print(f"left up; end it with: docker compose -p {stack.name} down --volumes")
        else:
            stack.down()
    if not ledger.is_balanced:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
