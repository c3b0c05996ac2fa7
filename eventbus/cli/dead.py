"""The commands `eventbus dead list|show|replay|discard|prune`: dead letters looked at, sent again, thrown away."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from eventbus.bus import Bus
from eventbus.cli.choosing import GroupKey, Ids, Reason, Since, chosen
from eventbus.cli.dead_acting import go_through, letters_of
from eventbus.cli.dead_groups import groups_command
from eventbus.cli.dead_replay import replay_command
from eventbus.cli.instants import read_instant
from eventbus.cli.letters import show as _show
from eventbus.cli.letters import table as _table
from eventbus.cli.letters import tree as _tree
from eventbus.cli.options import AsJson, BusUrl, Channel, Topic, Yes
from eventbus.cli.session import FAILED, confirmed, connected, out, reported, say, say_json
from eventbus.cli.showing import NoData, ShowPersonal
from eventbus.dead_letters import DeadLetter
from eventbus.dead_letters.sight import Sight
from eventbus.errors import ConfigurationError
from eventbus.names import is_dead_letter_topic
from eventbus.runtime.redaction import one_line

app = typer.Typer(
    add_completion=False, help="Look at dead letters, send them again, or throw them away.", no_args_is_help=True
)


@app.command("list")
def list_command(
    topic: Annotated[str | None, typer.Argument(metavar="[TOPIC", help="Name of the topic; none for an overview.")] = None,
    channel: Annotated[str | None, typer.Argument(metavar="CHANNEL]", help="Name of the channel: of the service.")] = None,
    ids: Ids = None,
    limit: Annotated[int, typer.Option(min=1, help="Most that are shown.")] = 50,
    since: Since = None,
    reason: Reason = None,
    group: GroupKey = None,
    personal: ShowPersonal = False,
    no_data: NoData = False,
    as_json: AsJson = False,
    bus: BusUrl = None,
) -> None:
    """List dead letters, oldest first, with reason, error, attempts and age. They stay where they are.

    Without topic and channel, count the dead letters of all channels.

    Example: eventbus dead list orders_placed fulfillment --reason Timeout --since 2h
    """
    with reported("dead list"), connected(bus) as open_bus:
        if topic is None:
            _overview(open_bus, as_json=as_json)
            return
        if channel is None:
            raise ConfigurationError(f"dead list {topic}: name a channel as well; see: eventbus dead list")
        where = chosen(ids, since, reason, group)  # a mistake in what was written is told before one of the broker
        letters = letters_of(open_bus, topic, channel)
        found = letters.list(limit=limit, where=where)
        sight = Sight(personal, not no_data)
        if as_json:
            say_json([_tree(each, sight) for each in found])
            return
        if found:
            out.print(_table(found, sight))
        there = letters.count()
        say(f"{len(found):,} of {there:,} dead letters of {topic} on {channel}")


app.command("groups")(groups_command)


@app.command("show")
def show_command(
    topic: Topic,
    channel: Channel,
    ids: Annotated[list[str], typer.Option("--id", help="Id of an event, or its beginning; may be given several times.")],
    personal: ShowPersonal = False,
    no_data: NoData = False,
    as_json: AsJson = False,
    bus: BusUrl = None,
) -> None:
    """Show dead letters whole: why, and the event as it was sent; hex where it is none. They stay where they are.

    Example: eventbus dead show orders_placed fulfillment --id 0199a1
    """
    with reported("dead show"), connected(bus) as open_bus:
        found = letters_of(open_bus, topic, channel).list(limit=100, where=chosen(ids, None, None))
        sight = Sight(personal, not no_data)
        if as_json:
            say_json([_tree(each, sight) for each in found])
        else:
            for letter in found:
                _show(letter, sight)
        if not found:
            raise ConfigurationError(f"no dead letter of {topic} on {channel} has that id; see: eventbus dead list")


app.command("replay")(replay_command)


@app.command("discard")
def discard_command(
    topic: Topic,
    channel: Channel,
    ids: Ids = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most that are thrown away.")] = None,
    since: Since = None,
    reason: Reason = None,
    group: GroupKey = None,
    yes: Yes = False,
    bus: BusUrl = None,
) -> None:
    """Throw dead letters away for good. Asks first.

    Example: eventbus dead discard orders_placed fulfillment --since 1h --reason "no such article"
    """
    with reported("dead discard"), connected(bus) as open_bus:
        where = chosen(ids, since, reason, group)
        letters = letters_of(open_bus, topic, channel)
        there = letters.count()
        which = f"up to {min(limit or there, there):,} of " if where is not None or limit is not None else "all "
        if not confirmed(f"Throw {which}{there:,} dead letters of {topic} on {channel} away for good?", yes=yes):
            say("nothing was thrown away")
            raise typer.Exit(FAILED)
        go_through(
            letters,
            "thrown away",
            lambda done: letters.discard(limit=limit, where=where, on_each=done),
            is_filtered=where is not None,
        )


@app.command("prune")
def prune_command(
    topic: Topic,
    channel: Channel,
    older_than: Annotated[str, typer.Option("--older-than", help="Parked longer ago: 12h, 30d.", metavar="AGE")],
    yes: Yes = False,
    bus: BusUrl = None,
) -> None:
    """Throw away the dead letters that were parked long ago. Asks first.

    Example: eventbus dead prune orders_placed fulfillment --older-than 30d --yes
    """
    with reported("dead prune"), connected(bus) as open_bus:
        before = read_instant(older_than, "--older-than")
        letters = letters_of(open_bus, topic, channel)
        if not confirmed(f"Throw dead letters of {topic} on {channel} older than {older_than} away for good?", yes=yes):
            say("nothing was thrown away")
            raise typer.Exit(FAILED)

        def is_old(letter: DeadLetter) -> bool:
            return letter.last < before

        go_through(letters, "thrown away", lambda done: letters.discard(where=is_old, on_each=done), is_filtered=True)


def _overview(bus: Bus, *, as_json: bool) -> None:
    """Count the dead letters of each channel that has or had some."""
    found: list[dict[str, Any]] = []
    total = 0
    for name, stats in sorted(bus.engine.stats().items()):
        if is_dead_letter_topic(name):
            topic, _, channel = name.removesuffix(".dead").rpartition(".")
            waits = stats.depth + sum(each.depth + each.in_flight + each.deferred for each in stats.channels.values())
            total += waits
            found.append({"topic": topic, "channel": channel, "dead": waits})
    if as_json:
        say_json(found)
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("topic", "channel", "dead letters"):
        table.add_column(heading, justify="right" if heading.startswith("dead") else "left")
    for each in found:
        table.add_row(Text(one_line(each["topic"])), Text(one_line(each["channel"])), Text(f"{each['dead']:,}"))
    if found:
        out.print(table)
    say(f"{total:,} dead letters of {len(found):,} channels" if found else "no channel has dead letters")
