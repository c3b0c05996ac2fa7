"""The commands `eventbus pause`, `resume` and `empty`: hold, release or throw away what waits."""

from __future__ import annotations

from typing import Annotated

import typer

from eventbus.bus import Bus
from eventbus.cli.options import BusUrl, Topic, Yes
from eventbus.cli.session import confirmed, connected, reported, say
from eventbus.errors import ConfigurationError
from eventbus.names import check_name

pause_app = typer.Typer(add_completion=False)
resume_app = typer.Typer(add_completion=False)
empty_app = typer.Typer(add_completion=False)

MaybeChannel = Annotated[
    str | None, typer.Argument(metavar="[CHANNEL]", help="Name of the channel; the topic itself unless given.")
]


@pause_app.command()
def pause(topic: Topic, channel: MaybeChannel = None, bus: BusUrl = None) -> None:
    """Stop deliveries of a channel, or the copying from a topic to its channels. Nothing is lost; it waits.

    Example: eventbus pause orders_placed fulfillment
    """
    with reported("pause"), connected(bus) as open_bus:
        waits = _waiting(open_bus, topic, channel)
        open_bus.engine.pause(topic, channel)
        say(f"{_name(topic, channel)} is paused; {waits:,} wait. Go on with: eventbus resume {_words(topic, channel)}")


@resume_app.command()
def resume(topic: Topic, channel: MaybeChannel = None, bus: BusUrl = None) -> None:
    """Undo `pause`.

    Example: eventbus resume orders_placed fulfillment
    """
    with reported("resume"), connected(bus) as open_bus:
        waits = _waiting(open_bus, topic, channel)
        open_bus.engine.resume(topic, channel)
        say(f"{_name(topic, channel)} goes on; {waits:,} wait")


@empty_app.command()
def empty(topic: Topic, channel: MaybeChannel = None, yes: Yes = False, bus: BusUrl = None) -> None:
    """Throw away for good what waits in a channel, or in a topic that has no channel yet. Asks first.

    Example: eventbus empty orders_placed old_service
    """
    with reported("empty"), connected(bus) as open_bus:
        waits = _waiting(open_bus, topic, channel)
        question = f"{waits:,} messages of {_name(topic, channel)} are lost for good. Throw them away?"
        if not confirmed(question, yes=yes):
            say("nothing was thrown away")
            raise typer.Exit(1)
        open_bus.engine.empty(topic, channel)
        say(f"{_name(topic, channel)} is empty; about {waits:,} messages were thrown away")


def _waiting(bus: Bus, topic: str, channel: str | None) -> int:
    """Return how many messages wait.

    Raises:
        ConfigurationError: there is no such topic or channel: a name that is misspelled must not be made.
    """
    check_name(topic, kind="topic")
    stats = bus.engine.stats()
    if topic not in stats:
        raise ConfigurationError(f"there is no topic {topic!r}; see: eventbus topics")
    if channel is None:
        return stats[topic].depth
    there = stats[topic].channels.get(check_name(channel, kind="channel"))
    if there is None:
        known = ", ".join(sorted(stats[topic].channels)) or "none"
        raise ConfigurationError(f"topic {topic!r} has no channel {channel!r}; it has {known}")
    return there.depth + there.deferred


def _name(topic: str, channel: str | None) -> str:
    return f"topic {topic}" if channel is None else f"channel {channel} of {topic}"


def _words(topic: str, channel: str | None) -> str:
    return topic if channel is None else f"{topic} {channel}"
