"""Options of what a command shows of events; see `eventbus.dead_letters.sight`."""

from __future__ import annotations

from typing import Annotated

import typer

ShowPersonal = Annotated[
    bool, typer.Option("--personal", help="Show fields that are marked as personal, and the texts of errors about them.")
]
NoData = Annotated[bool, typer.Option("--no-data", help="Show no data of events and no text of an error.")]
