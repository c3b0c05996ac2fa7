"""Checks that fit every system: give them to `simulate(..., check=[...])`, beside your own."""

from __future__ import annotations

from collections import Counter

from eventbus.middleware import Outcome
from eventbus.testing.simulation.judging import of_world
from eventbus.testing.simulation.world import World

_ENDS = frozenset({Outcome.HANDLED, Outcome.PARKED, Outcome.EXPIRED, Outcome.UNHANDLED, Outcome.SKIPPED, Outcome.DROPPED})


@of_world
def nothing_lost(world: World) -> None:
    """Each event that was published was handled, parked or passed over, in each channel of its topic."""
    ended = {(channel, identifier) for outcome, channel, identifier in world.conductor.outcomes if outcome in _ENDS}
    for topic, envelope in world.conductor.published:
        for service in world.services:
            if topic in service.topics and envelope.replay_for in (None, service.channel):
                assert (service.channel, envelope.id) in ended, f"lost: {envelope.type} {envelope.id} for {service.channel}"


@of_world
def nothing_parked(world: World) -> None:
    """No event became a dead letter."""
    letters = world.dead_letters()
    assert not letters, f"parked: {letters[0].event_type} of {letters[0].channel}: {letters[0].reason}"


@of_world
def dead_letters_explained(world: World) -> None:
    """Each dead letter was refused by a handler on purpose (`Reject`), and none only because it failed too often."""
    for letter in world.dead_letters():
        assert letter.reason.startswith("rejected"), f"parked: {letter.event_type} of {letter.channel}: {letter.reason}"


@of_world
def all_settled(world: World) -> None:
    """Nothing waits for ever: no message waits in a channel, and no row of an outbox for its receipts."""
    for topic, stats in world.broker.stats().items():
        for name, channel in stats.channels.items():
            if not topic.endswith(".dead"):
                left = channel.depth + channel.in_flight + channel.deferred
                assert not left, f"{left} messages of {topic} wait for {name} for ever"
    rows = world.unsettled()
    assert not rows, f"{len(rows)} rows of an outbox are never settled, the first is a {rows[0]}"


@of_world
def outbox_and_inbox_agree(world: World) -> None:
    """What an outbox holds for done, the channels that keep an inbox hold for done too: handled, or a dead letter."""
    claimed, settled = world.claims(), world.settled()
    for service in world.services:
        for binding in service.bindings:
            for topic, type_name, identifier in settled if binding.inbox is not None else ():
                if (topic, type_name) == (binding.topic, binding.type_name):
                    has = (service.channel, topic, identifier) in claimed
                    assert has, f"they disagree: {type_name} {identifier} is settled, and {service.channel} never claimed it"


@of_world
def no_phantom(world: World) -> None:
    """Nothing was handled that nobody published."""
    published = {envelope.id for _, envelope in world.conductor.published}
    for _, channel, identifier in world.conductor.outcomes:
        assert identifier in published, f"phantom: {identifier} in {channel} was never published"


@of_world
def handled_once(world: World) -> None:
    """Each event's handler came to its end once in each channel: for handlers with an inbox, whose doubles do not run."""
    done: Counter[tuple[str, str]] = world.conductor.completed
    for (channel, identifier), times in done.items():
        assert times <= 1, f"{times} effects of {identifier} in {channel}"
