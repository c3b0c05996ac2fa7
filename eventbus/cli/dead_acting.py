"""Acting on dead letters: what the commands that change some share."""

from __future__ import annotations

from collections.abc import Callable

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from eventbus.bus import Bus
from eventbus.cli.session import complain, complaints, say
from eventbus.dead_letters import DeadLetter, DeadLetters
from eventbus.errors import ConfigurationError, EventBusError


def letters_of(bus: Bus, topic: str, channel: str) -> DeadLetters:
    """Return the dead letters of a channel.

    Raises:
        ConfigurationError: there is no such channel, and nothing was ever parked for one of that name.
    """
    letters = bus.dead_letters(topic, channel)
    there = bus.engine.stats()
    if letters.dead_topic in there or (topic in there and channel in there[topic].channels):
        return letters
    if topic not in there:
        raise ConfigurationError(f"no topic {topic!r} on this broker; see: eventbus topics")
    known = ", ".join(sorted(there[topic].channels)) or "none"
    raise ConfigurationError(f"topic {topic!r} has no channel {channel!r}; it has {known}")


def go_through(
    letters: DeadLetters, verb: str, act: Callable[[Callable[[DeadLetter], None]], int], *, is_filtered: bool
) -> None:
    """Run `act` under a progress bar; say how far it came, also when it is interrupted."""
    done = 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=complaints, disable=not complaints.is_terminal, transient=True) as progress:
        task = progress.add_task(verb, total=letters.count() or None)

        def count(letter: DeadLetter) -> None:
            nonlocal done
            done += 1
            if done % 20 == 0:
                progress.update(task, completed=done)

        try:
            act(count)
        except (EventBusError, KeyboardInterrupt):
            complain(f"{done:,} {verb} before it was interrupted; the others are still parked")
            raise
    left = letters.count()
    say(f"{done:,} {verb}, {left:,} left")
    if left and not done and not is_filtered:
        complain("another command holds them; if that was killed, they come back within 20 s", style="yellow")
