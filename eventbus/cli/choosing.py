"""Choosing: which dead letters a command is about."""

from __future__ import annotations

from typing import Annotated

import typer

from eventbus.cli.instants import read_instant
from eventbus.dead_letters import DeadLetter
from eventbus.dead_letters.groups import Texts, key_of
from eventbus.dead_letters.mending import Where
from eventbus.dead_letters.sight import USUAL

Ids = Annotated[list[str] | None, typer.Option("--id", help="Id of an event, or its beginning; may be given several times.")]
Since = Annotated[
    str | None, typer.Option(help="Parked since then: 15m, 2h, 3d, or an instant as 2026-01-31T12:00:00Z.", metavar="T")
]
Reason = Annotated[str | None, typer.Option(help="Reason or error contains this text, in any case of letters.")]
GroupKey = Annotated[
    str | None,
    typer.Option("--group", help="Of this group, by its key or its beginning; see: eventbus dead groups.", metavar="KEY"),
]


def chosen(
    ids: list[str] | None, since: str | None, reason: str | None, group: str | None = None, texts: Texts = USUAL.texts
) -> Where | None:
    """Return what the options choose, or None for all.

    Raises:
        ConfigurationError: `since` is no time.
    """
    if ids is None and since is None and reason is None and group is None:
        return None
    begins = tuple(ids or ())
    earliest = None if since is None else read_instant(since, "--since")
    text = None if reason is None else reason.casefold()

    def fits(letter: DeadLetter) -> bool:
        return (
            (not begins or letter.id.startswith(begins))
            and (earliest is None or letter.last >= earliest)
            and (text is None or text in f"{letter.reason}\n{letter.error or ''}".casefold())
            and (group is None or key_of(letter, texts).startswith(group))
        )

    return fits
