"""The command `eventbus dead groups`: dead letters by their cause."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from eventbus.bus import Bus
from eventbus.cli.options import AsJson, BusUrl
from eventbus.cli.session import connected, out, reported, say, say_json
from eventbus.cli.showing import NoData, ShowPersonal
from eventbus.dead_letters.groups import Group, grouped
from eventbus.dead_letters.sight import USUAL, Sight
from eventbus.errors import ConfigurationError
from eventbus.names import is_dead_letter_topic
from eventbus.runtime.redaction import one_line


def groups_command(
    topic: Annotated[str | None, typer.Argument(metavar="[TOPIC", help="Name of the topic; none for all.")] = None,
    channel: Annotated[str | None, typer.Argument(metavar="CHANNEL]", help="Name of the channel: of the service.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most letters of each channel that are looked at.")] = 10_000,
    personal: ShowPersonal = False,
    no_data: NoData = False,
    as_json: AsJson = False,
    bus: BusUrl = None,
) -> None:
    """Group dead letters by cause: error, place in the code, and text without ids and numbers. They stay where they are.

    The key of a group chooses its letters in dead list, replay and discard.

    Example: eventbus dead groups orders_placed fulfillment
    """
    with reported("dead groups"), connected(bus) as open_bus:
        if topic is not None and channel is None:
            raise ConfigurationError(f"dead groups {topic}: name a channel as well; see: eventbus dead list")
        sight = Sight(personal, not no_data)
        found: list[Group] = []
        for of_topic, of_channel in [(topic, channel)] if topic and channel else _all(open_bus):
            letters = open_bus.dead_letters(of_topic, of_channel).list(limit=limit)
            found.extend(grouped(letters, USUAL.texts, sight.texts))
        found.sort(key=lambda group: (-group.count, group.key))
        total = sum(group.count for group in found)
        if as_json:
            say_json([_tree(group, total) for group in found])
            return
        if found:
            out.print(_table(found, total))
        say(f"{total:,} dead letters of {len(found):,} causes" if found else "no dead letters")


def _all(bus: Bus) -> list[tuple[str, str]]:
    """Return topic and channel of all that have dead letters."""
    names = [name.removesuffix(".dead").rpartition(".") for name in sorted(bus.engine.stats()) if is_dead_letter_topic(name)]
    return [(topic, channel) for topic, _, channel in names if topic]


def _tree(group: Group, total: int) -> dict[str, Any]:
    return {
        "key": group.key,
        "topic": group.topic,
        "channel": group.channel,
        "kind": group.kind,
        "place": group.place,
        "cause": group.cause,
        "count": group.count,
        "share": round(group.count / total, 4),
        "per_hour": round(group.rate, 2),
        "first": group.first.isoformat(),
        "last": group.last.isoformat(),
        "ids": group.ids,
    }


def _table(found: list[Group], total: int) -> Table:
    rows = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("key", "letters", "share", "an hour", "last"):
        rows.add_column(heading, no_wrap=True, justify="left" if heading == "key" else "right")
    rows.add_column("cause", overflow="fold", min_width=20)
    for group in found:
        what = Text(one_line(group.kind), "red")
        if group.place:
            what.append(f" {one_line(group.place)}", "default")
        what.append(f" on {one_line(group.topic)}/{one_line(group.channel)}", "dim")
        if group.cause:
            what.append(f"\n{group.cause}", "default")
        rows.add_row(
            Text(group.key, "cyan"),
            f"{group.count:,}",
            f"{group.count / total:.0%}",
            f"{group.rate:.3g}",
            group.last.strftime("%m-%d %H:%M"),
            what,
        )
    return rows
