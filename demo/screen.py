"""The demo's screen: a progress bar and the flow as it happens; on a plain terminal or a pipe, lines."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from demo.flow import Flow
from demo.ledger import Ledger
from eventbus import Outcome


class Screen:
    """Shows one run; a context manager."""

    def __init__(self, console: Console, flow: Flow, total: int | None) -> None:
        self._console = console
        self._flow = flow
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        )
        self._placed = self._progress.add_task("placed   ", total=total)
        self._done = self._progress.add_task("processed", total=total)
        self._live = Live(self._render(), console=console, refresh_per_second=8) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.update(self._render())
            self._live.stop()
        else:
            self._console.print(self._render())

    def placed(self, count: int) -> None:
        self._show(self._placed, count)

    def processed(self, count: int) -> None:
        self._show(self._done, count)

    def _show(self, task: TaskID, count: int) -> None:
        self._progress.update(task, completed=count)
        if self._live is not None:
            self._live.update(self._render())

    def _render(self) -> Group:
        return Group(self._flow_table(), self._recent(), self._progress)

    def _flow_table(self) -> Table:
        table = Table("topic / channel", "worker", "handled", title="who handled what", title_justify="left")
        for place, workers in sorted(self._flow.handled.items()):
            for worker, count in sorted(workers.items()):
                table.add_row(place, worker, f"{count:,}")
        retried, parked = self._flow.outcomes[Outcome.RETRIED], self._flow.outcomes[Outcome.PARKED]
        table.caption = f"{retried:,} retried, {parked:,} dead letters"
        table.caption_justify = "left"
        return table

    def _recent(self) -> Table:
        grid = Table.grid()
        for line in self._flow.recent:
            grid.add_row(line)
        return grid


def ledger_table(ledger: Ledger) -> Table:
    """Return the ledger for people."""
    table = Table("ledger", "", title_justify="left")
    table.columns[1].justify = "right"
    for name in ("orders", "shipped", "rejected", "confirmed", "mails", "lost", "doubled", "dead_letters", "retries"):
        table.add_row(name.replace("_", " "), f"{getattr(ledger, name):,}")
    table.add_row("seconds", f"{ledger.seconds:.2f}")
    table.add_row("balanced", "yes" if ledger.is_balanced else "NO")
    return table
