"""The command `eventbus dead replay`: at once, as a dry run, or in growing steps."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer
from rich.text import Text

from eventbus.bus import Bus
from eventbus.cli.choosing import GroupKey, Ids, Reason, Since, chosen
from eventbus.cli.dead_acting import go_through, letters_of
from eventbus.cli.options import BusUrl, Channel, Topic
from eventbus.cli.session import FAILED, complain, connected, out, reported, say
from eventbus.dead_letters import DeadLetters
from eventbus.dead_letters.mending import Where
from eventbus.rehearsal.asking import rehearse
from eventbus.rehearsal.messages import Verdict
from eventbus.rehearsal.ramp import ramp, somebody
from eventbus.runtime.redaction import one_line

_WORDS = {"pass": "would pass", "fail": "would fail", "cannot": "cannot be tried"}
_STYLES = {"pass": "green", "fail": "red", "cannot": "yellow"}


def replay_command(
    topic: Topic,
    channel: Channel,
    ids: Ids = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most that are replayed.")] = None,
    since: Since = None,
    reason: Reason = None,
    group: GroupKey = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Let a worker try them and take all back; replay nothing that would fail."),
    ] = False,
    by_ramp: Annotated[
        bool, typer.Option("--ramp", help="Replay 1, then 10, 100, all; stop at the first that fails again.")
    ] = False,
    wait: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for word of a try, and of each step.")] = 30.0,
    bus: BusUrl = None,
) -> None:
    """Send dead letters to their channel again, and to no other.

    Safe to interrupt at any point: nothing is lost, and at worst one comes twice. With --dry-run alone nothing is sent: a
    worker runs the handlers on the letters, takes everything back and says which would pass. With --ramp too, the steps
    follow if none would fail. Exit code 1 where one would fail, or failed again.

    Example: eventbus dead replay orders_placed fulfillment --group 3fa9 --dry-run --ramp
    """
    with reported("dead replay"), connected(bus) as open_bus:
        where = chosen(ids, since, reason, group)
        letters = letters_of(open_bus, topic, channel)
        if dry_run and not _would_pass(open_bus, letters, where, limit, wait):
            raise typer.Exit(FAILED)
        if by_ramp:
            if not _by_ramp(open_bus, letters, where, limit, wait):
                raise typer.Exit(FAILED)
        elif not dry_run:
            go_through(
                letters,
                "replayed",
                lambda done: letters.replay(limit=limit, where=where, on_each=done),
                is_filtered=where is not None,
            )


def _would_pass(bus: Bus, letters: DeadLetters, where: Where | None, limit: int | None, wait: float) -> bool:
    """Show what would become of the letters; return whether none would fail."""
    found = letters.list(limit=limit or 10_000, where=where)
    verdicts = list(rehearse(bus, found, timeout=wait).values())
    for (word, what), count in Counter((each.word, _what(each)) for each in verdicts).most_common():
        line = Text(f"{count:>6,} ", "bold").append(_WORDS[word], _STYLES[word])
        out.print(line.append(f": {one_line(what)}" if what else "", "default"))
    say(f"{len(verdicts):,} tried, nothing was changed" if verdicts else "no dead letters to try")
    return all(each.word != "fail" for each in verdicts)


def _what(verdict: Verdict) -> str:
    if verdict.word == "pass":
        return f"and publish {', '.join(verdict.published)}" if verdict.published else verdict.reason
    return verdict.reason + (f" at {verdict.place}" if verdict.place else "")


def _by_ramp(bus: Bus, letters: DeadLetters, where: Where | None, limit: int | None, wait: float) -> bool:
    """Replay in steps; return whether all were well."""
    total = 0
    is_well = True
    for step in ramp(bus, letters, where, by=somebody(), patience=wait, most=limit):
        total += step.replayed
        is_well = step.is_well
        say(f"{step.replayed:,} replayed, {step.handled:,} handled, {step.left:,} left")
        if step.failed is not None:
            complain(f"stopped: one failed again: {step.failed}")
        elif step.silent:
            complain(
                f"stopped: nobody told what became of {step.silent:,} within {wait:g} s; services tell that run by "
                "`eventbus run`. See: eventbus dead list, eventbus topics"
            )
    if not total:
        say("no dead letters to replay")
    return is_well
