"""Rows: one measured thing beside its limit or peer, and how they are printed and written."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: what was measured.
        ours: our figure, in `unit`.
        peer: what it stands beside.
        theirs: the peer's figure, in the same unit.
        ratio: ours divided by theirs, the median over the rounds.
        goal: what the ratio should reach, or None.
    """

    name: str
    ours: float
    unit: str
    peer: str
    theirs: float
    ratio: float
    goal: float | None


def compare(
    name: str,
    ours: Callable[[], float],
    peer: str,
    theirs: Callable[[], float],
    *,
    rounds: int,
    unit: str = "events/s",
    goal: float | None = None,
) -> Row:
    """Measure both in turn, `rounds` times, and return the medians and the median of the ratios."""
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return Row(
        name=name,
        ours=statistics.median(pair[0] for pair in pairs),
        unit=unit,
        peer=peer,
        theirs=statistics.median(pair[1] for pair in pairs),
        ratio=round(statistics.median(pair[0] / pair[1] for pair in pairs), 3),
        goal=goal,
    )


def machine() -> str:
    """Name the machine in one line."""
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    table = Table("", "ours", "unit", "beside", "theirs", "ratio", "goal", title=machine(), title_justify="left")
    for row in rows:
        goal = "" if row.goal is None else f">= {row.goal:g} {'met' if row.ratio >= row.goal else 'MISSED'}"
        table.add_row(row.name, f"{row.ours:,.0f}", row.unit, row.peer, f"{row.theirs:,.0f}", f"{row.ratio:.2f}", goal)
    Console(width=150).print(table)


def write(rows: Sequence[Row], path: Path) -> None:
    """Write the rows as JSON."""
    path.write_text(json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows]}, indent=2) + "\n")


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw the ratios as bars, with a mark at each goal; needs the bench group."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "eventbus"
    import matplotlib.pyplot as plt

    shown = [row for row in rows if row.theirs]
    figure, axes = plt.subplots(figsize=(10, 0.4 * len(shown) + 1))
    places = range(len(shown))
    met = ["#3a7d44" if row.goal is None or row.ratio >= row.goal else "#b5651d" for row in shown]
    axes.barh(places, [row.ratio for row in shown], color=met)
    for place, row in zip(places, shown, strict=True):
        if row.goal is not None:
            axes.plot([row.goal, row.goal], [place - 0.45, place + 0.45], color="black", linewidth=2)
    axes.set_yticks(places, [f"{row.name} / {row.peer}" for row in shown])
    axes.set_xlabel("ratio of ours to the peer or limit; the black mark is the goal")
    axes.invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
